"""The format protobuf: google's own implementation is the other side."""

import os

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

from client import fails, rows, table
from support import check, wait_until

PROTO = """
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
enum Color { NONE = 0; RED = 1; }
message Item { string name = 1; int32 count = 2; }
message Order {
  int64 id = 1;
  optional string note = 2;
  Color color = 3;
  repeated Item items = 4;
  map<string, double> weights = 5;
  google.protobuf.Timestamp at = 6;
  oneof paid { string card = 7; sint64 cash = 8; }
}
"""


def described():
    """What PROTO says, as descriptors: Python's package has no compiler."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="shop.proto", package="shop", syntax="proto3", dependency=["google/protobuf/timestamp.proto"])
    color = file.enum_type.add(name="Color")
    color.value.add(name="NONE", number=0)
    color.value.add(name="RED", number=1)

    def fields(message, *of):
        for number, (name, kind, more) in enumerate(of, 1):
            message.field.add(name=name, number=number, type=kind, **{"label": kinds.LABEL_OPTIONAL, **more})

    many = {"label": kinds.LABEL_REPEATED}
    item, order = file.message_type.add(name="Item"), file.message_type.add(name="Order")
    fields(item, ("name", kinds.TYPE_STRING, {}), ("count", kinds.TYPE_INT32, {}))
    entry = order.nested_type.add(name="WeightsEntry")
    fields(entry, ("key", kinds.TYPE_STRING, {}), ("value", kinds.TYPE_DOUBLE, {}))
    entry.options.map_entry = True
    order.oneof_decl.add(name="paid")
    order.oneof_decl.add(name="_note")
    fields(
        order,
        ("id", kinds.TYPE_INT64, {}),
        ("note", kinds.TYPE_STRING, {"proto3_optional": True, "oneof_index": 1}),
        ("color", kinds.TYPE_ENUM, {"type_name": ".shop.Color"}),
        ("items", kinds.TYPE_MESSAGE, {"type_name": ".shop.Item", **many}),
        ("weights", kinds.TYPE_MESSAGE, {"type_name": ".shop.Order.WeightsEntry", **many}),
        ("at", kinds.TYPE_MESSAGE, {"type_name": ".google.protobuf.Timestamp"}),
        ("card", kinds.TYPE_STRING, {"oneof_index": 0}),
        ("cash", kinds.TYPE_SINT64, {"oneof_index": 0}),
    )
    timestamp = descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(timestamp)
    return descriptor_pb2.FileDescriptorSet(file=[timestamp, file])


def run(db, kafka, folder):
    """Read and written, from the .proto file and from descriptors."""
    descriptors = described()
    pool = descriptor_pool.DescriptorPool()
    for file in descriptors.file:
        pool.Add(file)
    order_of = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order"))
    schema, binary = os.path.join(folder, "shop.proto"), os.path.join(folder, "shop.pb")
    with open(schema, "w") as out:
        out.write(PROTO)
    with open(binary, "wb") as out:
        out.write(descriptors.SerializeToString())

    first, second = order_of(id=1, color=1, cash=-7), order_of(note="", card="c")
    first.items.add(name="nut", count=2)
    first.items.add(name="bolt")
    first.weights["kg"] = 1.5
    first.at.FromJsonString("2024-01-01T12:00:00.25Z")
    kafka.create("proto_in")
    kafka.send("proto_in", [(0, None, message.SerializeToString()) for message in (first, second)])
    columns = ("id BIGINT, note STRING, color STRING, items ARRAY<ROW<name STRING, `count` INT>>, "
               "weights MAP<STRING, DOUBLE>, `at` TIMESTAMP(3), card STRING, cash BIGINT")
    earliest = "'scan.startup.mode' = 'earliest-offset'"
    fmt = f"'format' = 'protobuf', 'protobuf.schema-file' = '{schema}', 'protobuf.message-name' = 'shop.Order'"
    db.execute(table("proto_in", columns, "proto_in", kafka.address, earliest, fmt=fmt))
    check("protobuf is read",
          [(r[0], r[1], r[2], r[3] and r[3].isoformat(), r[4], r[5]) for r in
           rows(db, "SELECT id, note, color, `at`, card, cash FROM proto_in")],
          [(1, None, "RED", "2024-01-01T12:00:00.250000", None, -7), (0, "", "NONE", None, "c", None)])
    check("with its arrays and maps", rows(db, "SELECT items[1].name, items[2].`count`, weights['kg'] FROM proto_in LIMIT 1"),
          [("nut", 0, 1.5)])

    kafka.create("proto_out")
    fmt = f"'format' = 'protobuf', 'protobuf.descriptor-file' = '{binary}', 'protobuf.message-name' = 'Order'"
    db.execute(table("proto_out", columns, "proto_out", kafka.address, earliest + ", 'scan.bounded.mode' = 'latest-offset'",
                     fmt=fmt))
    db.execute(table("proto_ends", columns, "proto_in", kafka.address,
                     earliest + ", 'scan.bounded.mode' = 'latest-offset'", fmt=fmt))
    db.execute("INSERT INTO proto_out SELECT * FROM proto_ends")
    written = lambda: [order_of.FromString(value) for _, _, value in kafka.read("proto_out")]  # noqa: E731
    wait_until("protobuf is written as google's implementation reads it", lambda: written() == [first, second])
    kafka.send("proto_in", [(0, None, b"\x08")])
    error = fails(db, "SELECT * FROM proto_in")
    check("a bad message is named", "offset 2" in error and "does not end" in error or error, True)
    error = fails(db, table("proto_no", "idd BIGINT", "proto_in", kafka.address, fmt=fmt))
    check("a column without a field is refused", 'no field "idd"' in error and "id, note" in error or error, True)

//! Protobuf: broken messages, schemas and columns that do not fit, any bytes at all.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::util::pretty::pretty_format_batches;
use proptest::prelude::*;

use super::ProtobufMessages;
use super::tests::{PROTO, all_columns, decoded, encoded, field, format_of, full, list, order, place};
use crate::formats::message::MessageDecoder;

#[test]
fn broken_messages_leave_no_trace() {
    let format = order();
    let columns = Fields::from(vec![
        Field::new("id", DataType::Int64, false),
        field("name", DataType::Utf8),
        field("sizes", list(DataType::Int32)),
        field("big", DataType::Int64),
        field("place", place()),
    ]);
    let wanted: Vec<_> = (0..5).map(|index| (index, None)).collect();
    let mut decoder = ProtobufMessages::new(&format, &columns, &wanted).unwrap();
    decoder.decode(&[0x08, 1], &"here").unwrap();
    for (bytes, part) in [
        (&[0x08][..], "does not end"),
        (&[0x12, 5, b'a'], "ends too early"),
        (&[0x08, 1, 0x12, 1, 0xff], "column \"name\": the value does not fit into STRING"),
        (&[0x0a, 1, 0], "the field \"id\" has wire type 2"),
        (&[0x0f], "wire type"),
        (&[0x00, 1], "no field has such a number"),
        (&[0x2a, 2, 1, 0xff], "does not end"),
        (&[0x60, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "column \"big\""),
        (&[0x0b, 0x0b], "does not end"),
        (&[0x3a, 2, 0x10, 0x80], "does not end"),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "does not end"),
    ] {
        let error = decoder.decode(bytes, &"here").unwrap_err().to_string();
        assert!(error.starts_with("here: ") && error.contains(part), "{bytes:?}: {error}");
        assert_eq!(decoder.rows(), 1);
    }
    decoder.decode(&[0x08, 2], &"here").unwrap();
    assert_eq!(decoder.finish().unwrap().batch.num_rows(), 2);
    let skips = format_of(PROTO, &[("protobuf.ignore-parse-errors", "true")]).unwrap();
    let mut decoder = ProtobufMessages::new(&skips, &columns, &wanted).unwrap();
    assert!(decoder.decode(&[0x08], &"here").unwrap());
    assert_eq!(decoder.rows(), 0);
}

#[test]
fn a_missing_field_of_a_not_null_column_is_a_fault() {
    let columns = Fields::from(vec![Field::new("price", DataType::Float64, false)]);
    let mut decoder = ProtobufMessages::new(&order(), &columns, &[(0, None)]).unwrap();
    let error = decoder.decode(&[], &"here").unwrap_err().to_string();
    assert!(error.contains("column \"price\": the field is missing, and the column is NOT NULL"), "{error}");
}

#[test]
fn what_cannot_work_is_refused_with_its_reason() {
    let refused = |columns: Vec<Field>| order().check(&columns.into()).unwrap_err();
    let error = refused(vec![field("colour", DataType::Utf8)]);
    assert_eq!(error.to_string(), "the Protobuf message shop.Order has no field \"colour\"");
    assert!(error.hint().unwrap().contains("color, sizes"), "{:?}", error.hint());
    let error = refused(vec![field("name", DataType::Int64)]).to_string();
    assert_eq!(error, "the Protobuf field \"name\" of type string cannot be a column of type BIGINT");
    let error = refused(vec![field("sizes", DataType::Int32)]).to_string();
    assert!(error.contains("of type repeated int32 cannot be a column of type INT"), "{error}");
    assert!(order().check(&vec![field("NAME", DataType::Utf8)].into()).is_ok(), "names may differ in case");
    let error = format_of(PROTO, &[("protobuf.message-name", "Orde")]).unwrap_err();
    assert!(error.to_string().contains("there is no message \"Orde\""), "{error}");
    assert!(error.hint().unwrap().contains("shop.Order, shop.Place"), "{:?}", error.hint());
    let error = format_of(PROTO, &[("protobuf.message-name", "")]).unwrap_err().to_string();
    assert!(error.contains("must say which message"), "{error}");
    let error = format_of("message {", &[]).unwrap_err().to_string();
    assert!(error.contains("cannot be used"), "{error}");
    let error = format_of(PROTO, &[("protobuf.schema-file", "")]).unwrap_err().to_string();
    assert!(error.contains("needs option \"protobuf.schema-file\""), "{error}");
    let error = format_of(PROTO, &[("protobuf.schema-file", "/no/such.proto")]).unwrap_err().to_string();
    assert!(error.contains("/no/such.proto"), "{error}");
}

#[test]
fn a_set_of_descriptors_says_the_same() {
    let format = order();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.pb");
    std::fs::write(&path, format.message.parent_pool().encode_to_vec()).unwrap();
    let path = path.display().to_string();
    let of_set = [("protobuf.schema-file", ""), ("protobuf.descriptor-file", path.as_str())];
    let again = format_of(PROTO, &of_set).unwrap();
    assert_eq!(again.message.full_name(), "shop.Order");
    let bytes = full(&format);
    assert_eq!(
        decoded(&again, &all_columns(), std::slice::from_ref(&bytes)),
        decoded(&format, &all_columns(), std::slice::from_ref(&bytes))
    );
}

proptest! {
    /// No bytes make the decoder panic, and what it takes it takes again when written.
    #[test]
    fn any_bytes_are_rows_or_faults(noise in prop::collection::vec(any::<u8>(), 0..64), cut in 0..400_usize) {
        let format = order();
        let columns = all_columns();
        let wanted: Vec<_> = (0..columns.len()).map(|index| (index, None)).collect();
        let mut decoder = ProtobufMessages::new(&format, &columns, &wanted).unwrap();
        let mut bytes = full(&format);
        bytes.truncate(cut);
        bytes.extend(noise);
        if decoder.decode(&bytes, &"here").is_ok() {
            let batch = decoder.finish().unwrap().batch;
            prop_assert_eq!(batch.schema(), Arc::new(Schema::new(columns.clone())));
            let again = decoded(&format, &columns, &encoded(&format, &batch));
            // NaN is not itself: compared as text.
            let text = |batch: &RecordBatch| pretty_format_batches(std::slice::from_ref(batch)).unwrap().to_string();
            prop_assert_eq!(text(&again), text(&batch));
        } else {
            prop_assert_eq!(decoder.rows(), 0);
        }
    }
}

"""Options of sources: bounded reads, new partitions and topics, the offsets of the group, watermarks of partitions."""

from confluent_kafka import Consumer, TopicPartition

from client import fails, rows, table
from support import check, wait_until

EARLIEST = "'scan.startup.mode' = 'earliest-offset'"
QUICK = "'scan.topic-partition-discovery.interval' = '200 ms'"


def run(db, kafka):
    """All of them."""
    modes(db, kafka)
    discovery(db, kafka)
    silent_partitions(db, kafka)
    disorder(db, kafka)
    late_partition(db, kafka)
    alignment(db, kafka)


def modes(db, kafka):
    """What is left of the startup and bounded modes."""
    kafka.create("modes", 2)
    kafka.send("modes", [(n % 2, None, {"n": n}) for n in range(6)])
    address, jobs = kafka.address, "SELECT state FROM millstream.jobs WHERE name = '{}'"
    db.execute(table("all_now", "n BIGINT", "modes", address, f"{EARLIEST}, 'scan.bounded.mode' = 'latest-offset'"))
    db.execute("CREATE MATERIALIZED VIEW all_now_view AS SELECT count(*) AS c, sum(n) AS s FROM all_now")
    wait_until("a job over a bounded topic ends", lambda: rows(db, jobs.format("all_now_view")) == [("FINISHED",)])
    kafka.send("modes", [(0, None, {"n": 100})])
    check("with what was there", rows(db, "SELECT * FROM all_now_view"), [(6, 15)])
    db.execute("DROP MATERIALIZED VIEW all_now_view")
    group = "'scan.startup.mode' = 'group-offsets', 'properties.group.id' = 'nobody'"
    db.execute(table("no_group", "n BIGINT", "modes", address, group))
    check("a group without offsets begins at the first", rows(db, "SELECT count(*) FROM no_group"), [(7,)])
    db.execute(table("no_group_late", "n BIGINT", "modes", address, f"{group}, 'properties.auto.offset.reset' = 'latest'"))
    check("or at the last, as declared", rows(db, "SELECT count(*) FROM no_group_late"), [(0,)])
    db.execute(table("no_group_none", "n BIGINT", "modes", address, f"{group}, 'properties.auto.offset.reset' = 'none'"))
    error = fails(db, "SELECT count(*) FROM no_group_none")
    check("or nowhere", '"nobody" has not committed' in error or error, True)


def discovery(db, kafka):
    """Topics that begin to match a pattern; the group is told how far reading is."""
    kafka.create("found.a")
    kafka.send("found.a", [(0, None, {"n": 1})])
    db.execute(table("found", "n BIGINT, t STRING METADATA FROM 'topic'", None, kafka.address,
                     f"'topic-pattern' = 'found[.].*', 'properties.group.id' = 'watched', {EARLIEST}, {QUICK}"))
    db.execute("CREATE MATERIALIZED VIEW found_view AS SELECT t, sum(n) AS n FROM found GROUP BY t")
    wait_until("a topic that matches is read", lambda: rows(db, "SELECT * FROM found_view") == [("found.a", 1)])
    kafka.create("found.b", 2)
    kafka.send("found.b", [(0, None, {"n": 2}), (1, None, {"n": 3})])
    wait_until("one that comes later too",
               lambda: rows(db, "SELECT * FROM found_view ORDER BY t") == [("found.a", 1), ("found.b", 5)])
    consumer = Consumer({"bootstrap.servers": kafka.address, "group.id": "watched"})

    def committed():
        return consumer.committed([TopicPartition("found.a", 0)], timeout=10)[0].offset

    wait_until("the group's offset follows the checkpoints", lambda: committed() == 1)
    consumer.close()
    db.execute("DROP MATERIALIZED VIEW found_view")


def timed(db, kafka, name, partitions, more=""):
    """A topic with event times, a view of windows of ten seconds over it, one that counts; and a sender."""
    kafka.create(name, partitions)
    db.execute(table(name, "ts TIMESTAMP(3), v BIGINT, WATERMARK FOR ts AS ts", name, kafka.address,
                     f"{EARLIEST}, {QUICK}{', ' + more if more else ''}"))
    db.execute(f"""CREATE MATERIALIZED VIEW {name}_view AS SELECT extract(second FROM window_start)::int AS s, sum(v) AS v
        FROM TABLE(TUMBLE(TABLE {name}, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end""")
    db.execute(f"CREATE MATERIALIZED VIEW {name}_count AS SELECT count(*) AS c FROM {name}")

    def send(partition, *seconds):
        kafka.send(name, [(partition, None, {"ts": f"2024-01-01 00:{s // 60:02}:{s % 60:02}", "v": s}) for s in seconds])
        db.execute("FLUSH")

    return send, lambda: rows(db, f"SELECT s, v FROM {name}_view ORDER BY s")


def late(db, name):
    """Rows that came too late."""
    return rows(db, f"SELECT late_rows FROM millstream.jobs WHERE name = '{name}_view'")[0][0]


def dropped(db, name):
    """The views go."""
    for view in ("view", "count"):
        db.execute(f"DROP MATERIALIZED VIEW {name}_{view}")


def silent_partitions(db, kafka):
    """A silent partition holds windows back, for as long as is declared; partitions that are all silent hold nothing back."""
    send, windows = timed(db, kafka, "held", 2)
    send(0, 1, 12, 25)
    check("a silent partition holds windows back", windows(), [])
    send(1, 5, 11)
    check("until it speaks", windows(), [(0, 6)])
    dropped(db, "held")
    send, windows = timed(db, kafka, "let", 2, "'scan.watermark.idle-timeout' = '500 ms'")
    send(0, 1, 12, 25)
    wait_until("a silent partition lets windows close after the timeout", lambda: windows() == [(0, 1), (10, 12)])
    send(1, 26)
    check("what it says then is not late", late(db, "let"), 0)
    send(0, 33)
    send(1, 31)
    check("and counts", windows(), [(0, 1), (10, 12), (20, 51)])
    dropped(db, "let")
    send, windows = timed(db, kafka, "all_silent", 2, "'scan.watermark.idle-timeout' = '500 ms'")
    # First the one that is behind: it may be taken for idle at any time.
    send(1, 3, 5)
    send(0, 1, 22)
    wait_until("where all are silent the one that is furthest counts", lambda: windows() == [(0, 9)])
    send(0, 41)
    wait_until("and reading goes on", lambda: windows() == [(0, 9), (20, 22)])
    check("nothing was late", late(db, "all_silent"), 0)
    dropped(db, "all_silent")


def disorder(db, kafka):
    """Partitions that are far apart in time: nothing is late, though rows of both come mixed."""
    send, windows = timed(db, kafka, "apart", 3)
    send(0, *range(0, 60, 1))
    send(2, 70)
    send(1, *range(0, 40, 1))
    want = [(w, 2 * sum(range(w, w + 10))) for w in (0, 10, 20)]
    check("windows close by the partition that is behind", windows(), want)
    check("nothing is late", late(db, "apart"), 0)
    send(1, 59, 61)
    want += [(30, 2 * sum(range(30, 40))), (40, sum(range(40, 50))), ]
    check("and by the next", windows()[:5], want)
    send(1, 70)
    send(0, 70)
    check("each row is in its window", sum(v for _, v in windows()),
          sum(range(60)) + sum(range(40)) + 59 + 61)
    dropped(db, "apart")


def late_partition(db, kafka):
    """A partition that is added has a watermark of its own."""
    send, windows = timed(db, kafka, "grown", 1)
    send(0, 1, 12)
    check("one partition", windows(), [(0, 1)])
    kafka.grow("grown", 2)
    send(1, 13)
    wait_until("a new partition is read", lambda: rows(db, "SELECT c FROM grown_count") == [(3,)])
    send(0, 45)
    check("it holds windows back", windows(), [(0, 1)])
    send(1, 14, 31)
    check("its rows are not late", (windows(), late(db, "grown")), ([(0, 1), (10, 39)], 0))
    dropped(db, "grown")


def alignment(db, kafka):
    """A partition that is far ahead waits for those behind."""
    align = ("'scan.watermark.alignment.group' = 'g', 'scan.watermark.alignment.max-drift' = '30 s', "
             "'scan.watermark.alignment.update-interval' = '100 ms', 'scan.watermark.emit.strategy' = 'on-event'")
    kafka.create("aligned", 2)
    kafka.send("aligned", [(0, None, {"ts": "2024-01-01 00:40:00", "v": 0})])
    kafka.send("aligned", [(1, None, {"ts": "2024-01-01 00:05:00", "v": 0})])
    db.execute(table("aligned", "ts TIMESTAMP(3), v BIGINT, WATERMARK FOR ts AS ts", "aligned", kafka.address,
                     f"{EARLIEST}, {align}"))
    db.execute("CREATE MATERIALIZED VIEW aligned_view AS SELECT v FROM aligned")
    wait_until("both begin", lambda: rows(db, "SELECT count(*) = 2 FROM aligned_view") == [(True,)])
    kafka.send("aligned", [(0, None, {"ts": "2024-01-01 00:50:00", "v": 1000})])
    wait_until("the one behind is read", lambda: (
        kafka.send("aligned", [(1, None, {"ts": "2024-01-01 00:06:00", "v": 1})])
        or rows(db, "SELECT count(*) > 2 FROM aligned_view WHERE v = 1") == [(True,)]))
    check("the one ahead waits", rows(db, "SELECT count(*) FROM aligned_view WHERE v = 1000"), [(0,)])
    kafka.send("aligned", [(1, None, {"ts": "2024-01-01 00:49:00", "v": 2})])
    wait_until("until the other has caught up", lambda: rows(db, "SELECT count(*) FROM aligned_view WHERE v = 1000") == [(1,)])
    plan = "".join(row[0] for row in rows(db, "EXPLAIN CREATE MATERIALIZED VIEW v AS SELECT v FROM aligned"))
    check("EXPLAIN tells of it", "at most 30 s ahead in group g" in plan or plan, True)
    db.execute("DROP MATERIALIZED VIEW aligned_view")
    error = fails(db, table("aligned_half", "ts TIMESTAMP(3)", "aligned", kafka.address,
                            "'scan.watermark.alignment.group' = 'g'"))
    check("a group without a drift is refused", "need one another" in error or error, True)

"""Tests of what decides whether a figure counts: rows as text, folds, ratios. `python3 -m unittest discover -s bench`."""

import unittest
from decimal import Decimal
from pathlib import Path

from side_by_side import engines, queries
from side_by_side.answers import Answer, Fold, cell
from side_by_side.process import Refused, Usage, reason, run
from side_by_side.queries import Column, Input
from side_by_side.report import Line, Table


class Answers(unittest.TestCase):
    """Rows are the same where their values are."""

    def test_values_of_one_meaning_have_one_text(self) -> None:
        self.assertEqual(cell(1436918400010, "TIMESTAMP(3)"), "2015-07-15 00:00:00.010")
        self.assertEqual(cell("2015-07-15 00:00:00.01", "TIMESTAMP(3)"), "2015-07-15 00:00:00.010")
        self.assertEqual(cell("2015-07-15T00:00:00", "TIMESTAMP(3)"), "2015-07-15 00:00:00.000")
        self.assertEqual(cell(Decimal("10.500"), "DECIMAL(23, 3)"), cell("10.5", "DECIMAL(23, 3)"))
        self.assertEqual(cell(Decimal("1000"), "DECIMAL(23, 3)"), "1000")
        self.assertEqual(cell(0, "DECIMAL(23, 3)"), "0")
        self.assertEqual(cell(7.9, "BIGINT"), "7")
        self.assertNotEqual(cell(None, "VARCHAR"), cell("", "VARCHAR"))

    def test_a_fold_knows_no_order_and_takes_back(self) -> None:
        columns = [Column("a", "BIGINT"), Column("b", "VARCHAR")]
        first = Fold(columns, [0, 1]).all([[1, "x"], [2, "y"]]).answer()
        second = Fold(columns, [0, 1]).all([[2, "y"], [3, "z"], [1, "x"]])
        self.assertNotEqual(first, second.answer())
        second.add([3, "z"], -1)
        self.assertEqual(first, second.answer())
        self.assertNotEqual(first, Fold(columns, [0, 1]).all([[1, "y"], [2, "x"]]).answer())
        self.assertEqual(Fold(columns, [0]).all([[1, "y"]]).answer(), Fold(columns, [0]).all([[1, "x"]]).answer())

    def test_of_running_values_the_last_counts(self) -> None:
        changes = iter([[1, "a", 1], [1, "b", 1], [1, "a", 2]])
        self.assertEqual(sorted(engines._last_of_keys(changes, [0])), [(1, ["a", 2]), (1, ["b", 1])])


class Queries(unittest.TestCase):
    """Every query can be read, and its columns are known."""

    def test_all_queries(self) -> None:
        given = Input("tables", 1, Path("/data"))
        for name in queries.NAMES:
            query = queries.read(name, given, Path("/out"))
            self.assertTrue(query.select.startswith("SELECT"), name)
            self.assertTrue(query.insert.startswith(f"INSERT INTO {name}"), name)
            self.assertTrue(all(column in [c.name for c in query.columns] for column in queries.DETERMINED.get(name, [])))
        self.assertEqual(queries.read("q9", given, Path("/out")).determined, [*range(11), 12, 13])
        self.assertEqual(len(queries.read("q16", given, Path("/out")).columns), 15)

    def test_clink_has_a_text_or_a_reason(self) -> None:
        for name in queries.NAMES:
            try:
                create, insert = queries.split(engines._clink(name))
                self.assertTrue(create.startswith("CREATE TABLE result") and insert.startswith("INSERT INTO result"))
                self.assertTrue(queries.columns(create), name)
            except Refused as refused:
                self.assertGreater(len(str(refused)), 20, name)


class Report(unittest.TestCase):
    """Ratios are of medians, and only of rows that are the same."""

    def line(self, rows: int) -> Line:
        line = Line("q0")
        line.answers = {"millstream": Answer(5, "a"), "flink": Answer(rows, "a")}
        line.usages = {
            "millstream": [Usage(1, cpu, 10) for cpu in (1.0, 2.0, 9.0)],
            "flink": [Usage(1, 8.0, 50)],
        }
        return line

    def test_ratios(self) -> None:
        table = Table(1_000, ["millstream", "flink"])
        self.assertIn("same", table.line(self.line(5)))
        self.assertIn("4.00 times", table.foot())
        self.assertIn("memory 5.00 times", table.foot())
        self.assertFalse(table.different)

    def test_other_rows_are_in_no_mean(self) -> None:
        table = Table(1_000, ["millstream", "flink"])
        self.assertIn("DIFFERENT", table.line(self.line(6)))
        self.assertNotIn("times", table.foot())
        self.assertTrue(table.different)


class Process(unittest.TestCase):
    """What a process used, and why it failed."""

    def test_usage_and_failure(self) -> None:
        finished = run(["python3", "-c", "print(len(b'x' * (64 << 20)))"], timeout_s=60)
        self.assertEqual(finished.output.strip(), str(64 << 20))
        self.assertGreater(finished.usage.peak_bytes, 64 << 20)
        with self.assertRaisesRegex(Refused, "ValueError: no"):
            run(["python3", "-c", "raise ValueError('no')"], timeout_s=60)
        with self.assertRaisesRegex(Refused, "took more than"):
            run(["python3", "-c", "while True: pass"], timeout_s=0.2)

    def test_the_innermost_cause_is_the_reason(self) -> None:
        text = 'Exception in thread "main" a.B: outer\n\tat c.d\nCaused by: e.F: inner\n\tat g.h\n\t... 3 more\n'
        self.assertEqual(reason(text), "e.F: inner")
        self.assertEqual(reason('Exception in thread "main" a.B: only\n\tat c.d\n'), "a.B: only")


if __name__ == "__main__":
    unittest.main()

//! What comes out: changes with signs, rows, tags, and what is written.

use std::sync::Arc;

use arrow::array::{RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use millstream_engine::ports::MemorySource;

use super::{rows, run};
use crate::{Sign, TableDescriptor, Tumble, col, count_all, lit, row};

#[test]
fn values_come_out_in_streaming_and_in_batch() {
    run(|environment| async move {
        let values = environment.from_values([[lit(1), lit("a")], [lit(2), lit("b")]]);
        assert_eq!(values.schema().await?.field(0).name(), "f0");
        let named = values.alias(["id", "name"]);
        let picked = named.filter(col("id").is_greater(1)).select([col("name")]);
        assert_eq!(rows(picked.execute().await?).await?, ["b"]);
        environment.execute_sql("SET 'execution.runtime-mode' = 'batch'").await?;
        assert_eq!(rows(picked.execute().await?).await?, ["b"]);
        assert_eq!(super::lines(&named.collect().await?), ["1 a", "2 b"]);
        let nested = environment.from_values([[row([lit(1), lit(2)])]]).alias(["r"]);
        assert_eq!(nested.collect().await?[0].num_rows(), 1);
        Ok(())
    });
}

#[test]
fn whole_numbers_have_the_types_of_rust() {
    run(|environment| async move {
        let values = environment.from_values([[lit(1), lit(1_i64), lit(-1_i64), lit(1_u32), lit(3_000_000_000_i64)]]);
        let schema =
            values.select([col("f0"), col("f1"), col("f2"), col("f3"), col("f4"), col("f0") + 2]).schema().await?;
        let types: Vec<DataType> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
        let wide = [DataType::Int64, DataType::Int64, DataType::Int64, DataType::Int64];
        assert_eq!(types, [&[DataType::Int32][..], &wide[..], &[DataType::Int32][..]].concat());
        assert_eq!(super::lines(&values.collect().await?), ["1 1 -1 1 3000000000"]);
        Ok(())
    });
}

#[test]
fn changes_have_signs() {
    run(|environment| async move {
        environment
            .create_table("t", &TableDescriptor::for_internal().column("k", "INT").column("v", "BIGINT"))
            .await?;
        let sums = environment.from("t").group_by([col("k")]).select([col("k"), col("v").sum().alias("total")]);
        let mut changes = sums.execute().await?;
        environment.execute_sql("INSERT INTO t VALUES (1, 10)").await?;
        let first = changes.next().await?.unwrap();
        assert_eq!((first.rows(), first.sign.clone()), (1, Sign::AppendOnly));
        environment.execute_sql("INSERT INTO t VALUES (1, 5)").await?;
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let delta = changes.next().await?.unwrap();
            for row in 0..delta.rows() {
                let total = arrow::util::display::array_value_to_string(delta.batch.column(1), row).unwrap();
                seen.push((total, delta.is_retract(row)));
            }
        }
        assert_eq!(seen, [("10".to_owned(), true), ("15".to_owned(), false)]);
        Ok(())
    });
}

#[test]
fn inserts_views_and_scripts() {
    run(|environment| async move {
        let table = TableDescriptor::for_internal().column("id", "BIGINT").column("name", "STRING").primary_key(["id"]);
        environment.create_table("people", &table).await?;
        let values = environment.from_values([[lit(1), lit("a")], [lit(2), lit("b")]]);
        let done = values.execute_insert("people").await?;
        assert_eq!(done.tag(), Some("INSERT 0 2"));
        let people = environment.from("people");
        environment.create_temporary_view("second", &people.filter(col("id").is_equal(2))).await?;
        environment.create_materialized_view("counted", &people.select([count_all().alias("n")])).await?;
        let script = "INSERT INTO people VALUES (3, 'c'); SELECT * FROM counted";
        assert_eq!(rows(environment.execute_sql(script).await?).await?, ["3"]);
        assert_eq!(super::lines(&environment.from("second").collect().await?), ["2 b"]);
        let error = environment.execute_sql("SELECT nothing FROM people").await.unwrap_err();
        assert_eq!(error.parts().state.0, "42703");
        assert!(environment.from("nowhere").collect().await.is_err());
        Ok(())
    });
}

#[test]
fn a_window_over_a_bounded_stream_closes_at_its_end() {
    run(|environment| async move {
        let schema =
            Arc::new(Schema::new(vec![Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), false)]));
        let times =
            TimestampMillisecondArray::from_iter_values((0..25).map(|second| 1_704_067_200_000 + second * 1_000));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(times)]).unwrap();
        let source = Arc::new(MemorySource::new(schema, vec![vec![batch]]));
        environment.create_table("events", &TableDescriptor::for_source(source).watermark("ts", "ts")).await?;
        let counts = environment
            .from("events")
            .window(Tumble::over(lit(10).seconds()).on(col("ts")).alias("w"))
            .group_by([col("w")])
            .select([col("w").start().alias("s"), count_all().alias("n")]);
        let expected = ["2024-01-01T00:00:00 10", "2024-01-01T00:00:10 10", "2024-01-01T00:00:20 5"];
        assert_eq!(rows(counts.execute().await?).await?, expected);
        assert_eq!(super::lines(&counts.collect().await?), expected);
        let mut out = Vec::new();
        counts.execute().await?.print(&mut out).await?;
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().any(|line| line.starts_with("| +I | 2024-01-01T00:00:20 | 5")), "{text}");
        Ok(())
    });
}

#[test]
fn a_statement_set_is_one_job() {
    run(|environment| async move {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
        let numbers = TableDescriptor::for_connector("datagen")
            .column("id", "BIGINT")
            .option("fields.id.kind", "sequence")
            .option("fields.id.start", "1")
            .option("fields.id.end", "9");
        environment.create_table("numbers", &numbers).await?;
        for name in ["small", "large"] {
            let files = TableDescriptor::for_connector("filesystem").column("id", "BIGINT").option("format", "csv");
            environment.create_table(name, &files.option("path", path(name))).await?;
        }
        let numbers = environment.from("numbers");
        let set = environment
            .create_statement_set()
            .add_insert("small", &numbers.filter(col("id").is_less(3)))
            .add_insert("large", &numbers.filter(col("id").is_greater(7)));
        set.execute().await?;
        assert_eq!(super::lines(&environment.from("small").collect().await?), ["1", "2"]);
        assert_eq!(super::lines(&environment.from("large").collect().await?), ["8", "9"]);
        Ok(())
    });
}

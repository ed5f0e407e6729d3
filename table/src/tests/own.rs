//! What the program brings: sources, sinks, functions, connectors.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit};
use parking_lot::Mutex;

use super::{lines, rows, run};
use crate::{
    Accumulator, AggregateFunction, Delta, EngineError, FnSink, Over, Result, ScalarFunction, TableDescriptor,
    TableEnvironment, Tumble, call, channel, col, lit,
};

fn numbers() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, false),
        Field::new("v", DataType::Int64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), false),
    ]))
}

fn batch(rows: &[(i64, Option<i64>, i64)]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
        Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.2))),
    ];
    RecordBatch::try_new(numbers(), columns).unwrap()
}

#[test]
fn batches_are_a_table() {
    run(|environment| async move {
        let table = environment.from_batches(numbers(), vec![batch(&[(1, Some(2), 0), (1, None, 5)])]).await?;
        let sums = table.group_by([col("k")]).select([col("k"), col("v").sum().alias("s")]);
        assert_eq!(rows(sums.execute().await?).await?, ["1 2"]);
        assert_eq!(lines(&table.select([col("v")]).collect().await?), ["", "2"]);
        Ok(())
    });
}

#[test]
fn a_channel_feeds_a_window_and_ends_with_its_sender() {
    run(|environment| async move {
        let (sender, source) = channel(numbers(), 1);
        let table = TableDescriptor::for_source(source)
            .column("ts", "TIMESTAMP(3)")
            .column("k", "BIGINT")
            .column_by_expression("twice", "k * 2")
            .watermark("ts", "ts");
        environment.create_table("events", &table).await?;
        let counts = environment
            .from("events")
            .window(Tumble::over(lit(1).seconds()).on(col("ts")).alias("w"))
            .group_by([col("w")])
            .select([col("w").start().alias("s"), col("twice").sum().alias("n")]);
        let mut result = counts.execute().await?;
        let feed = tokio::spawn(async move {
            for second in 0..20 {
                sender.send(batch(&[(1, None, second * 1_000), (2, None, second * 1_000 + 1)])).await?;
            }
            assert!(sender.send(RecordBatch::new_empty(Arc::new(Schema::empty()))).await.is_err());
            Ok::<_, EngineError>(())
        });
        // A window comes out while the stream goes on. Who does not read holds the sender back.
        let first = result.next().await?.unwrap();
        assert!(first.rows() > 0);
        let mut seen = first.rows();
        while let Some(delta) = result.next().await? {
            seen += delta.rows();
        }
        assert_eq!(seen, 20);
        Ok(feed.await.unwrap()?)
    });
}

#[test]
fn columns_of_a_source_are_checked() {
    run(|environment| async move {
        let (_sender, source) = channel(numbers(), 1);
        let wrong = TableDescriptor::for_source(Arc::clone(&source)).column("k", "STRING");
        let error = environment.create_table("events", &wrong).await.unwrap_err();
        assert!(error.to_string().contains("column \"k\" is declared as"), "{error}");
        let missing = TableDescriptor::for_source(source).column("other", "STRING");
        assert!(environment.create_table("events", &missing).await.is_err());
        Ok(())
    });
}

#[test]
fn a_function_takes_the_rows() {
    run(|environment| async move {
        let taken: Arc<Mutex<Vec<Delta>>> = Arc::default();
        let into = Arc::clone(&taken);
        let sink = FnSink::append_only(move |delta| {
            into.lock().push(delta.clone());
            Ok(())
        });
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)]));
        environment.create_table("out", &TableDescriptor::for_sink(schema, Arc::new(sink))).await?;
        let table = environment.from_batches(numbers(), vec![batch(&[(1, Some(2), 0), (2, Some(3), 5)])]).await?;
        table.select([(col("v") + 1).alias("v")]).execute_insert("out").await?;
        let batches: Vec<RecordBatch> = taken.lock().iter().map(|delta| delta.batch.clone()).collect();
        assert_eq!(lines(&batches), ["3", "4"]);
        let sums = table.group_by([col("k")]).select([col("v").sum().alias("v")]);
        assert!(sums.execute_insert("out").await.is_err(), "rows that change are refused");
        Ok(())
    });
}

/// The geometric mean of positive numbers.
#[derive(Default)]
struct GeometricMean {
    logarithms: f64,
    count: f64,
}

impl Accumulator for GeometricMean {
    fn accumulate(&mut self, arguments: &[ArrayRef]) -> Result<(), EngineError> {
        for value in arguments[0].as_primitive::<Float64Type>().iter().flatten() {
            self.logarithms += value.ln();
            self.count += 1.0;
        }
        Ok(())
    }

    fn value(&self) -> Result<ArrayRef, EngineError> {
        let mean = (self.count > 0.0).then(|| (self.logarithms / self.count).exp().round());
        Ok(Arc::new(Float64Array::from(vec![mean])))
    }
}

/// The value with the greatest weight.
#[derive(Default)]
struct Heaviest(Option<(i64, i64)>);

impl Accumulator for Heaviest {
    fn accumulate(&mut self, arguments: &[ArrayRef]) -> Result<(), EngineError> {
        let (values, weights) = (arguments[0].as_primitive::<Int64Type>(), arguments[1].as_primitive::<Int64Type>());
        for row in (0..values.len()).filter(|row| values.is_valid(*row) && weights.is_valid(*row)) {
            self.0 = self.0.max(Some((weights.value(row), values.value(row))));
        }
        Ok(())
    }

    fn value(&self) -> Result<ArrayRef, EngineError> {
        Ok(Arc::new(Int64Array::from(vec![self.0.map(|(_, value)| value)])))
    }
}

async fn functions(environment: &TableEnvironment) -> Result<()> {
    let double = ScalarFunction::new("double_it", [DataType::Int64], DataType::Int64, |columns, _rows| {
        let numbers = columns[0].as_primitive::<Int64Type>();
        Ok(Arc::new(numbers.iter().map(|number| number.map(|number| number * 2)).collect::<Int64Array>()) as ArrayRef)
    });
    environment.create_function(double).await?;
    let mean = AggregateFunction::new("geo_mean", [DataType::Float64], DataType::Float64, GeometricMean::default);
    environment.create_function(mean).await?;
    let heaviest =
        AggregateFunction::new("heaviest", [DataType::Int64, DataType::Int64], DataType::Int64, Heaviest::default);
    environment.create_function(heaviest).await
}

#[test]
fn functions_of_the_program_are_called_from_sql_and_from_tables() {
    run(|environment| async move {
        functions(&environment).await?;
        assert_eq!(rows(environment.execute_sql("SELECT double_it(21), Double_It('4')").await?).await?, ["42 8"]);
        let table = environment
            .from_batches(
                numbers(),
                vec![batch(&[
                    (1, Some(2), 0),
                    (1, Some(8), 1),
                    (2, None, 2),
                    (2, Some(3), 1_500),
                    (1, Some(8), 1_600),
                ])],
            )
            .await?;
        let means = table.group_by([col("k")]).select([
            col("k"),
            call("geo_mean", [col("v")]).alias("g"),
            call("geo_mean", [col("v")]).distinct().alias("d"),
            call("heaviest", [col("v"), col("ts").cast("BIGINT")]).filter("v < 8").alias("h"),
        ]);
        let expected = ["1 5.0 4.0 2", "2 3.0 3.0 3"];
        assert_eq!(rows(means.execute().await?).await?, expected);
        assert_eq!(lines(&means.collect().await?), expected);
        let all = table.select([call("geo_mean", [col("v")]).alias("g")]);
        assert_eq!(lines(&all.filter("FALSE").collect().await?), Vec::<String>::new());
        assert_eq!(lines(&table.filter("k > 9").select([call("geo_mean", [col("v")])]).collect().await?), [""]);
        let over = table
            .window(Over::partition_by([col("k")]).order_by(col("ts")).alias("w"))
            .select([col("k"), call("geo_mean", [col("v")]).over("w").alias("g")]);
        assert_eq!(lines(&over.collect().await?), ["1 2.0", "1 4.0", "1 5.0", "2", "2 3.0"]);
        assert_eq!(rows(over.execute().await?).await?, ["1 2.0", "1 4.0", "1 5.0", "2", "2 3.0"]);
        let error = environment.execute_sql("SELECT double_it(1, 2)").await.unwrap_err();
        assert_eq!(error.parts().state.0, "42883", "{error}");
        let upper = ScalarFunction::new("upper", [], DataType::Int64, |_, rows| {
            Ok(Arc::new(Int64Array::from(vec![1; rows])) as ArrayRef)
        });
        assert!(environment.create_function(upper).await.is_err(), "SQL's functions stay SQL's");
        Ok(())
    });
}

#[test]
fn aggregates_of_the_program_take_rows_back_and_work_in_windows() {
    run(|environment| async move {
        functions(&environment).await?;
        let table = TableDescriptor::for_internal().column("id", "BIGINT").column("v", "DOUBLE").primary_key(["id"]);
        environment.create_table("t", &table).await?;
        environment.execute_sql("CREATE MATERIALIZED VIEW m AS SELECT geo_mean(v) AS g FROM t").await?;
        environment.execute_sql("INSERT INTO t VALUES (1, 2), (2, 8), (3, 1000)").await?;
        environment.execute_sql("DELETE FROM t WHERE id = 3").await?;
        assert_eq!(rows(environment.execute_sql("SELECT g FROM m").await?).await?, ["4.0"]);
        let (sender, source) = channel(numbers(), 4);
        environment.create_table("events", &TableDescriptor::for_source(source).watermark("ts", "ts")).await?;
        let windows = environment
            .from("events")
            .window(Tumble::over(lit(1).seconds()).on(col("ts")).alias("w"))
            .group_by([col("w")])
            .select([call("geo_mean", [col("v")]).alias("g")]);
        let result = windows.execute().await?;
        sender.send(batch(&[(1, Some(2), 0), (1, Some(8), 1), (2, Some(7), 1_500)])).await?;
        drop(sender);
        assert_eq!(rows(result).await?, ["4.0", "7.0"]);
        Ok(())
    });
}

//! Chains of calls and SQL that mean the same have the same plan.

use super::run;
use crate::{
    Over, Result, Session, Slide, Table, TableDescriptor, TableEnvironment, Tumble, UNBOUNDED_RANGE, call, call_sql,
    col, count_all, if_then_else, lit, not, row_number,
};

async fn tables(environment: &TableEnvironment) -> Result<()> {
    let orders = TableDescriptor::for_connector("datagen")
        .column("id", "BIGINT")
        .column("customer", "BIGINT")
        .column("amount", "BIGINT")
        .column("note", "STRING")
        .column("ts", "TIMESTAMP(3)")
        .watermark("ts", "ts - INTERVAL '1' SECOND")
        .option("number-of-rows", "10");
    environment.create_table("orders", &orders).await?;
    let people = TableDescriptor::for_connector("datagen")
        .column("person", "BIGINT")
        .column("city", "STRING")
        .option("number-of-rows", "10");
    environment.create_table("people", &people).await
}

/// Whether table and SQL explain alike, batch plan and dataflow included.
async fn same(environment: &TableEnvironment, table: Table, sql: &str) -> Result<()> {
    let (own, other) = (table.explain().await?, environment.explain_sql(sql).await?);
    assert!(own.contains("Logical plan") && own.contains("Dataflow"), "{own}");
    assert_eq!(own, other, "{} is not {sql}", table.to_sql().await?);
    Ok(())
}

#[test]
fn verbs_of_one_table_are_clauses() {
    run(|environment| async move {
        tables(&environment).await?;
        let orders = environment.from("orders");
        same(&environment, orders.clone(), "SELECT * FROM orders").await?;
        let table =
            orders.filter(col("amount").is_greater(100)).select([col("id"), (col("amount") * 2).alias("twice")]);
        same(&environment, table, "SELECT id, amount * 2 AS twice FROM orders WHERE amount > 100").await?;
        let table = orders.filter("amount > 100 OR id = 1").filter("note LIKE 'a%'").select(["id", "upper(note) AS n"]);
        assert!(table.to_sql().await.is_err(), "an alias is no part of an expression");
        let table = orders
            .filter("amount > 100 OR id = 1")
            .filter("note LIKE 'a%'")
            .select([col("id"), call_sql("upper(note)").alias("n")]);
        let sql = "SELECT id, upper(note) AS n FROM orders WHERE (amount > 100 OR id = 1) AND (note LIKE 'a%')";
        same(&environment, table, sql).await?;
        let table = orders.select([if_then_else(col("amount").is_null(), 0, col("amount")).alias("a")]);
        same(&environment, table, "SELECT CASE WHEN amount IS NULL THEN 0 ELSE amount END AS a FROM orders").await?;
        let table = orders.filter(not(col("id").in_list([1, 2]))).filter(col("id").between(3, 9)).select([-col("id")]);
        let sql = "SELECT -id FROM orders WHERE (NOT (id IN (1, 2))) AND (id BETWEEN 3 AND 9)";
        same(&environment, table, sql).await?;
        let table =
            orders.select([col("amount").cast("DOUBLE").alias("a"), call("round", [col("amount") / 3]).alias("b")]);
        same(&environment, table, "SELECT CAST(amount AS DOUBLE) AS a, round(amount / 3) AS b FROM orders").await?;
        let table = orders.select([col("customer")]).distinct();
        same(&environment, table, "SELECT DISTINCT customer FROM orders").await?;
        let table = orders.order_by([col("amount").desc().nulls_last(), col("id").asc()]).fetch(3);
        same(&environment, table, "SELECT * FROM orders ORDER BY amount DESC NULLS LAST, id ASC LIMIT 3").await?;
        let table = orders.select([col("id")]).order_by([col("id")]).limit(2, 3);
        same(&environment, table, "SELECT id FROM orders ORDER BY id LIMIT 3 OFFSET 2").await
    });
}

#[test]
fn columns_come_go_and_are_renamed() {
    run(|environment| async move {
        tables(&environment).await?;
        let people = environment.from("people");
        let table = people.add_columns([(col("person") + 1).alias("next")]);
        same(&environment, table, "SELECT *, person + 1 AS next FROM people").await?;
        let table = people.rename_columns([col("person").alias("id")]);
        same(&environment, table, "SELECT person AS id, city FROM people").await?;
        same(&environment, people.drop_columns([col("city")]), "SELECT person FROM people").await?;
        let table = people.add_or_replace_columns([call("upper", [col("city")]).alias("city"), lit(1).alias("one")]);
        same(&environment, table, "SELECT person, upper(city) AS city, 1 AS one FROM people").await?;
        let table = people.alias(["a", "b"]).filter(col("a").is_greater(1));
        assert_eq!(table.schema().await?.field(1).name(), "b");
        let error = people.drop_columns([col("town")]).to_sql().await.unwrap_err();
        assert_eq!(error.to_string(), "column \"town\" does not exist");
        Ok(())
    });
}

#[test]
fn groups_and_windows() {
    run(|environment| async move {
        tables(&environment).await?;
        let orders = environment.from("orders");
        let table = orders.filter(col("amount").is_greater(0)).group_by([col("customer")]).select([
            col("customer"),
            col("amount").sum().alias("total"),
            col("note").count().distinct().alias("notes"),
        ]);
        let sql = "SELECT customer, SUM(amount) AS total, COUNT(DISTINCT note) AS notes FROM orders WHERE amount > 0 \
                   GROUP BY customer";
        same(&environment, table, sql).await?;
        let table = orders.select([count_all().alias("n"), col("amount").max().filter("id > 3").alias("m")]);
        same(&environment, table, "SELECT COUNT(*) AS n, MAX(amount) FILTER (WHERE id > 3) AS m FROM orders").await?;
        let table = orders
            .window(Tumble::over(lit(10).minutes()).on(col("ts")).alias("w"))
            .group_by([col("w"), col("customer")])
            .select([col("customer"), col("w").start().alias("s"), col("w").end().alias("e"), count_all().alias("n")]);
        let sql = "SELECT customer, TUMBLE_START(ts, INTERVAL '10' MINUTE) AS s, TUMBLE_END(ts, INTERVAL '10' MINUTE) AS e, \
                   COUNT(*) AS n FROM orders GROUP BY TUMBLE(ts, INTERVAL '10' MINUTE), customer";
        same(&environment, table, sql).await?;
        let window = Slide::over(lit(10).seconds()).every(lit(250).millis()).on(col("ts")).alias("w");
        let table =
            orders.window(window).group_by([col("w")]).select([col("w").rowtime().alias("t"), count_all().alias("n")]);
        let sql = "SELECT HOP_ROWTIME(ts, INTERVAL '0.250' SECOND, INTERVAL '10' SECOND) AS t, COUNT(*) AS n FROM orders \
                   GROUP BY HOP(ts, INTERVAL '0.250' SECOND, INTERVAL '10' SECOND)";
        same(&environment, table, sql).await?;
        let window = Session::with_gap(lit(1).hours()).on(col("ts")).alias("w");
        let table = orders
            .window(window)
            .group_by([col("customer"), col("w")])
            .select([col("customer"), count_all().alias("n")]);
        let sql = "SELECT customer, COUNT(*) AS n FROM orders GROUP BY customer, SESSION(ts, INTERVAL '1' HOUR)";
        same(&environment, table, sql).await?;
        let window = Tumble::over(lit(1).hours()).on(col("ts")).alias("w");
        let table = orders.window(window).group_by([col("customer")]).select([col("customer")]);
        assert_eq!(table.to_sql().await.unwrap_err().to_string(), "window \"w\" must be one of the keys of group_by");
        Ok(())
    });
}

#[test]
fn over_windows() {
    run(|environment| async move {
        tables(&environment).await?;
        let orders = environment.from("orders");
        let all = Over::partition_by([col("customer")]).order_by(col("ts")).preceding(UNBOUNDED_RANGE).alias("all");
        let last = Over::partition_by([col("customer")]).order_by(col("ts")).preceding(lit(2).rows()).alias("last");
        let table = orders.window([all, last]).select([
            col("id"),
            col("amount").sum().over("all").alias("s"),
            col("amount").avg().over(col("last")).alias("a"),
        ]);
        let sql = "SELECT id, SUM(amount) OVER (PARTITION BY customer ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND \
                   CURRENT ROW) AS s, AVG(amount) OVER (PARTITION BY customer ORDER BY ts ROWS BETWEEN 2 PRECEDING AND \
                   CURRENT ROW) AS a FROM orders";
        same(&environment, table, sql).await?;
        let ranked = orders
            .window(Over::partition_by([col("customer")]).order_by(col("amount").desc()).alias("w"))
            .select([col("id"), col("customer"), row_number().over("w").alias("place")])
            .filter(col("place").is_less_or_equal(3));
        let sql = "SELECT * FROM (SELECT id, customer, ROW_NUMBER() OVER (PARTITION BY customer ORDER BY amount DESC) AS place \
                   FROM orders) AS t1 WHERE place <= 3";
        same(&environment, ranked, sql).await?;
        let table = orders.select([col("amount").sum().over("w")]);
        assert_eq!(table.to_sql().await.unwrap_err().to_string(), "over window \"w\" does not exist");
        Ok(())
    });
}

#[test]
fn joins_and_set_operations() {
    run(|environment| async move {
        tables(&environment).await?;
        let (orders, people) = (environment.from("orders"), environment.from("people"));
        let on = || col("customer").is_equal(col("person"));
        let select = |table: Table| table.select([col("id"), col("city")]);
        for (table, words) in [
            (orders.join(&people, on()), "JOIN"),
            (orders.left_outer_join(&people, on()), "LEFT JOIN"),
            (orders.right_outer_join(&people, on()), "RIGHT JOIN"),
            (orders.full_outer_join(&people, on()), "FULL JOIN"),
        ] {
            let sql = format!("SELECT id, city FROM orders {words} people ON customer = person");
            same(&environment, select(table), &sql).await?;
        }
        let table = select(orders.cross_join(&people).filter(on()));
        same(&environment, table, "SELECT id, city FROM orders CROSS JOIN people WHERE customer = person").await?;
        let sql = "SELECT * FROM orders WHERE EXISTS (SELECT 1 FROM people WHERE customer = person)";
        same(&environment, orders.left_semi_join(&people, on()), sql).await?;
        let sql = "SELECT * FROM orders WHERE NOT EXISTS (SELECT 1 FROM people WHERE customer = person)";
        same(&environment, orders.left_anti_join(&people, on()), sql).await?;
        let (ids, persons) = (orders.select([col("id")]), people.select([col("person")]));
        for (table, words) in [
            (ids.union(&persons), "UNION"),
            (ids.union_all(&persons), "UNION ALL"),
            (ids.intersect(&persons), "INTERSECT"),
            (ids.intersect_all(&persons), "INTERSECT ALL"),
            (ids.minus(&persons), "EXCEPT"),
            (ids.minus_all(&persons), "EXCEPT ALL"),
        ] {
            same(&environment, table, &format!("SELECT id FROM orders {words} SELECT person FROM people")).await?;
        }
        // Three in a row stay one chain.
        let cities = environment.from("people").rename_columns([col("person").alias("p"), col("city").alias("c")]);
        let table =
            orders.join(&people, on()).join(&cities, col("city").is_equal(col("c"))).select([col("id"), col("p")]);
        let sql = "SELECT id, p FROM orders JOIN people ON customer = person JOIN \
                   (SELECT person AS p, city AS c FROM people) AS t1 ON city = c";
        same(&environment, table, sql).await
    });
}

#[test]
fn text_of_the_user_cannot_reach_beyond_its_place() {
    run(|environment| async move {
        tables(&environment).await?;
        let orders = environment.from("orders");
        for text in ["1 = 1) UNION (SELECT * FROM people", "TRUE; DROP TABLE orders", "id FROM people --", ""] {
            assert!(orders.filter(text).to_sql().await.is_err(), "{text}");
        }
        let table = orders.filter("amount > 1 -- not much").select([col("id")]);
        same(&environment, table, "SELECT id FROM orders WHERE amount > 1").await?;
        let table = orders.filter(col("note").is_equal("it's \"so\"")).select([col("id")]);
        same(&environment, table, "SELECT id FROM orders WHERE note = 'it''s \"so\"'").await?;
        assert!(orders.select([col("id").cast("INT), (SELECT 1")]).to_sql().await.is_err());
        assert!(environment.from("orders; DROP TABLE people").collect().await.is_err());
        let query = environment.sql_query("SELECT id FROM orders -- all").filter(col("id").is_greater(1));
        same(&environment, query, "SELECT * FROM (SELECT id FROM orders) AS t1 WHERE id > 1").await
    });
}

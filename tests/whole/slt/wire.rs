//! The driver that talks to a server through the PostgreSQL wire, with simple queries.

use std::net::{Ipv4Addr, SocketAddr};

use async_trait::async_trait;
use millstream_server::pgwire::PgServer;
use sqllogictest::{AsyncDB, DefaultColumnType};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::{Output, SqlFailure, cell, database, run_all, run_file};

struct Wire(Client);

impl From<tokio_postgres::Error> for SqlFailure {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(told) => Self { state: told.code().code().to_owned(), message: told.message().to_owned() },
            None => Self { state: "08006".to_owned(), message: error.to_string() },
        }
    }
}

impl Wire {
    async fn connect(address: SocketAddr) -> Result<Self, SqlFailure> {
        let settings = format!("host={} port={} user=tester dbname=millstream", address.ip(), address.port());
        let (client, connection) = tokio_postgres::connect(&settings, NoTls).await?;
        tokio::spawn(connection);
        Ok(Self(client))
    }
}

#[async_trait]
impl AsyncDB for Wire {
    type Error = SqlFailure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<Output, SqlFailure> {
        let (mut columns, mut count) = (None, 0);
        let mut rows = Vec::new();
        for message in self.0.simple_query(sql).await? {
            match message {
                SimpleQueryMessage::RowDescription(described) => {
                    columns = Some(described.len());
                    rows.clear();
                }
                SimpleQueryMessage::Row(row) => rows.push((0..row.len()).map(|at| cell(row.get(at))).collect()),
                SimpleQueryMessage::CommandComplete(done) => count = done,
                _ => {}
            }
        }
        Ok(match columns {
            Some(columns) => Output::Rows { types: vec![DefaultColumnType::Any; columns], rows },
            None => Output::StatementComplete(count),
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "wire"
    }

    fn error_sql_state(error: &SqlFailure) -> Option<String> {
        Some(error.state.clone())
    }
}

#[test]
fn over_the_wire() {
    run_all(|file| async move {
        let database = database(2);
        let server = PgServer::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let address = server.address().unwrap();
        let serving = tokio::spawn(server.serve(database.clone()));
        let failures = run_file(|| Wire::connect(address), &file).await;
        serving.abort();
        database.shutdown();
        failures
    });
}

#[tokio::test]
async fn whole_numbers_have_the_types_of_postgresql() {
    let database = database(1);
    let server = PgServer::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let address = server.address().unwrap();
    let serving = tokio::spawn(server.serve(database.clone()));
    let Wire(client) = Wire::connect(address).await.unwrap();
    let text = "SELECT 1, 3000000000, 9223372036854775808, ARRAY[1], $1 + 1, COALESCE($2::bigint, 0)";
    let prepared = client.prepare(text).await.unwrap();
    let columns: Vec<&Type> = prepared.columns().iter().map(|column| column.type_()).collect();
    let big = [&Type::INT8, &Type::NUMERIC, &Type::INT4_ARRAY];
    assert_eq!(columns, [&[&Type::INT4], &big[..], &[&Type::INT4, &Type::INT8]].concat());
    assert_eq!(prepared.params(), [Type::INT4, Type::INT8]);
    serving.abort();
    database.shutdown();
}

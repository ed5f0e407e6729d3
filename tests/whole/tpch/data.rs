//! Small data of TPC-H's eight tables: its columns and kinds of values, of fewer rows and fewer different values, so that
//! every query finds some.

use super::super::generated::random::Random;

/// A table: its columns in the order of the benchmark, and which of them are its key.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static str,
    pub(super) key: &'static [usize],
}

pub(super) const TABLES: [Table; 8] = [
    Table { name: "region", columns: "r_regionkey INT, r_name STRING, r_comment STRING", key: &[0] },
    Table { name: "nation", columns: "n_nationkey INT, n_name STRING, n_regionkey INT, n_comment STRING", key: &[0] },
    Table {
        name: "supplier",
        columns: "s_suppkey INT, s_name STRING, s_address STRING, s_nationkey INT, s_phone STRING, \
                  s_acctbal DECIMAL(15, 2), s_comment STRING",
        key: &[0],
    },
    Table {
        name: "part",
        columns: "p_partkey INT, p_name STRING, p_mfgr STRING, p_brand STRING, p_type STRING, p_size INT, \
                  p_container STRING, p_retailprice DECIMAL(15, 2), p_comment STRING",
        key: &[0],
    },
    Table {
        name: "partsupp",
        columns: "ps_partkey INT, ps_suppkey INT, ps_availqty INT, ps_supplycost DECIMAL(15, 2), ps_comment STRING",
        key: &[0, 1],
    },
    Table {
        name: "customer",
        columns: "c_custkey INT, c_name STRING, c_address STRING, c_nationkey INT, c_phone STRING, \
                  c_acctbal DECIMAL(15, 2), c_mktsegment STRING, c_comment STRING",
        key: &[0],
    },
    Table {
        name: "orders",
        columns: "o_orderkey INT, o_custkey INT, o_orderstatus STRING, o_totalprice DECIMAL(15, 2), o_orderdate DATE, \
                  o_orderpriority STRING, o_clerk STRING, o_shippriority INT, o_comment STRING",
        key: &[0],
    },
    Table {
        name: "lineitem",
        columns: "l_orderkey INT, l_partkey INT, l_suppkey INT, l_linenumber INT, l_quantity DECIMAL(15, 2), \
                  l_extendedprice DECIMAL(15, 2), l_discount DECIMAL(15, 2), l_tax DECIMAL(15, 2), \
                  l_returnflag STRING, l_linestatus STRING, l_shipdate DATE, l_commitdate DATE, l_receiptdate DATE, \
                  l_shipinstruct STRING, l_shipmode STRING, l_comment STRING",
        key: &[0, 3],
    },
];

const REGIONS: [&str; 5] = ["AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"];
/// The nations that rows are of, with their regions.
const NATIONS: [(&str, usize); 8] = [
    ("BRAZIL", 1),
    ("CANADA", 1),
    ("CHINA", 2),
    ("INDIA", 2),
    ("FRANCE", 3),
    ("GERMANY", 3),
    ("EGYPT", 4),
    ("SAUDI ARABIA", 4),
];
const SUPPLIERS: usize = 12;
const PARTS: usize = 30;
const CUSTOMERS: usize = 25;
const ORDERS: usize = 150;
const SUPPLIERS_A_PART: usize = 3;

/// A row of a table: SQL literals.
pub(super) type Row = Vec<String>;

fn text(value: &str) -> String {
    format!("'{value}'")
}

fn name(kind: &str, key: usize) -> String {
    format!("'{kind}#{key:09}'")
}

fn amount(random: &mut Random, from: i64, to: usize) -> String {
    format!("{}.{:02}", from + i64::try_from(random.below(to)).unwrap(), random.below(100))
}

fn date(day: usize) -> String {
    let (year, day) = (1993 + day / 360, day % 360);
    format!("DATE '{year}-{:02}-{:02}'", day / 30 + 1, (day % 30).min(27) + 1)
}

fn phone(nation: usize, random: &mut Random) -> String {
    format!("'{}-{:03}-{:03}-{:04}'", 10 + nation, random.below(900), random.below(900), random.below(9_000))
}

fn comment(random: &mut Random) -> String {
    text(random.pick(&["carefully", "the special packages requests", "slow Customer with Complaints", "quick foxes"]))
}

/// One of the suppliers of a part.
fn supplier_of(part: usize, which: usize) -> usize {
    1 + (part + which * 5) % SUPPLIERS
}

/// A random row of the `table`th table with that key.
pub(super) fn row(table: usize, key: &[usize], random: &mut Random) -> Row {
    let first = key[0];
    let mut row = vec![first.to_string()];
    let nation = random.below(NATIONS.len());
    match TABLES[table].name {
        "region" => row.extend([text(REGIONS[first]), comment(random)]),
        "nation" => row.extend([text(NATIONS[first].0), NATIONS[first].1.to_string(), comment(random)]),
        "supplier" => {
            row.extend([name("Supplier", first), text("here"), nation.to_string(), phone(nation, random)]);
            row.extend([amount(random, -999, 10_000), comment(random)]);
        }
        "part" => row.extend(part(random)),
        "partsupp" => {
            row.extend([key[1].to_string(), random.between(1, 40).to_string()]);
            row.extend([amount(random, 1, 20), comment(random)]);
        }
        "customer" => {
            row.extend([name("Customer", first), text("there"), nation.to_string(), phone(nation, random)]);
            let segment = text(random.pick(&["BUILDING", "MACHINERY", "AUTOMOBILE"]));
            row.extend([amount(random, -999, 10_000), segment, comment(random)]);
        }
        "orders" => {
            row.extend([random.between(1, CUSTOMERS).to_string(), text(random.pick(&["F", "O", "P"]))]);
            row.extend([amount(random, 1_000, 400_000), date(random.below(1_800))]);
            row.extend([text(random.pick(&["1-URGENT", "2-HIGH", "3-MEDIUM", "5-LOW"])), text("Clerk"), "0".into()]);
            row.push(comment(random));
        }
        _ => row.extend(line(key[1], random)),
    }
    row
}

fn part(random: &mut Random) -> Row {
    let colour = random.pick(&["forest green", "green almond", "red rose", "lemon"]);
    let brand = random.between(1, 3);
    let kind = random.pick(&["ECONOMY ANODIZED STEEL", "PROMO BURNISHED COPPER", "LARGE BRUSHED BRASS", "SMALL TIN"]);
    let container = random.pick(&["SM CASE", "MED BAG", "LG BOX", "MED BOX"]);
    vec![
        text(colour),
        format!("'Manufacturer#{brand}'"),
        format!("'Brand#{brand}{}'", random.between(1, 2)),
        text(kind),
        random.between(1, 15).to_string(),
        text(container),
        amount(random, 900, 1_000),
        comment(random),
    ]
}

/// A line item without its order.
fn line(number: usize, random: &mut Random) -> Row {
    let part = random.between(1, PARTS);
    let supplier = supplier_of(part, random.below(SUPPLIERS_A_PART));
    let ship = random.below(1_800);
    let (commit, receipt) = (ship + random.below(60), ship + random.between(1, 60));
    vec![
        part.to_string(),
        supplier.to_string(),
        number.to_string(),
        random.between(1, 50).to_string(),
        amount(random, 900, 90_000),
        format!("0.{:02}", random.below(11)),
        format!("0.{:02}", random.below(9)),
        text(random.pick(&["R", "A", "N"])),
        text(random.pick(&["O", "F"])),
        date(ship),
        date(commit),
        date(receipt),
        text(random.pick(&["DELIVER IN PERSON", "NONE", "COLLECT COD"])),
        text(random.pick(&["MAIL", "SHIP", "AIR", "AIR REG", "TRUCK"])),
        comment(random),
    ]
}

/// All rows: the table's number, and the row's key.
pub(super) fn keys(random: &mut Random) -> Vec<(usize, Vec<usize>)> {
    let mut keys: Vec<(usize, Vec<usize>)> = Vec::new();
    keys.extend((0..REGIONS.len()).map(|key| (0, vec![key])));
    keys.extend((0..NATIONS.len()).map(|key| (1, vec![key])));
    keys.extend((1..=SUPPLIERS).map(|key| (2, vec![key])));
    keys.extend((1..=PARTS).map(|key| (3, vec![key])));
    for part in 1..=PARTS {
        keys.extend((0..SUPPLIERS_A_PART).map(|which| (4, vec![part, supplier_of(part, which)])));
    }
    keys.extend((1..=CUSTOMERS).map(|key| (5, vec![key])));
    for order in 1..=ORDERS {
        keys.push((6, vec![order]));
        keys.extend((1..=random.between(1, 7)).map(|number| (7, vec![order, number])));
    }
    keys
}

//! The names of the fields of JSON objects, in the order in which they first come: a schema that Arrow tells has them by the
//! alphabet.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Names, each with those of the objects in its values.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<(String, Names)>);

impl Names {
    /// Takes the names of one value in. What is no JSON adds what stands before that is seen.
    pub(super) fn take(&mut self, text: &[u8]) {
        let mut reader = serde_json::Deserializer::from_slice(text);
        // Whether it is JSON is seen by others.
        let _ = Seed(self).deserialize(&mut reader);
    }

    /// The fields in the order of the names; those without one come last.
    pub(super) fn sorted(&self, fields: &Fields) -> Fields {
        let place = |field: &Field| self.0.iter().position(|(name, _)| name == field.name());
        let mut placed: Vec<_> =
            fields.iter().map(|field| (place(field).unwrap_or(usize::MAX), Arc::clone(field))).collect();
        placed.sort_by_key(|(place, _)| *place);
        let sorted = placed.into_iter().map(|(place, field)| match self.0.get(place) {
            Some((_, names)) => {
                let inner = names.sorted_in(field.data_type());
                Arc::new(field.as_ref().clone().with_data_type(inner))
            }
            None => field,
        });
        sorted.collect()
    }

    fn sorted_in(&self, data_type: &DataType) -> DataType {
        match data_type {
            DataType::Struct(fields) => DataType::Struct(self.sorted(fields)),
            DataType::List(item) => {
                let inner = self.sorted_in(item.data_type());
                DataType::List(Arc::new(item.as_ref().clone().with_data_type(inner)))
            }
            other => other.clone(),
        }
    }

    /// The names in the values of a name.
    fn of(&mut self, name: String) -> Option<&mut Names> {
        let known = self.0.iter().position(|(known, _)| *known == name);
        let place = known.unwrap_or_else(|| {
            self.0.push((name, Self::default()));
            self.0.len() - 1
        });
        self.0.get_mut(place).map(|(_, names)| names)
    }
}

/// Collects the names of one value.
struct Seed<'n>(&'n mut Names);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match self.0.of(name) {
                Some(inner) => map.next_value_seed(Seed(inner))?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Seed(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_in_the_order_of_the_file() {
        let mut names = Names::default();
        names.take(br#"{"z": [{"q": 1}, {"b": 2}], "a": 1}"#);
        names.take(br#"{"m": 1, "a": {"y": 1, "x": null}}"#);
        names.take(br#"{"late": tru"#);
        let field = |name: &str, data_type| Field::new(name, data_type, true);
        let row = |names: [&str; 2]| DataType::Struct(names.map(|name| field(name, DataType::Int64)).to_vec().into());
        let list = |names| DataType::List(Arc::new(field("item", row(names))));
        let fields = vec![
            field("a", row(["x", "y"])),
            field("m", DataType::Int64),
            field("other", DataType::Utf8),
            field("z", list(["b", "q"])),
        ];
        let wanted = vec![
            field("z", list(["q", "b"])),
            field("a", row(["y", "x"])),
            field("m", DataType::Int64),
            field("other", DataType::Utf8),
        ];
        assert_eq!(names.sorted(&fields.into()), Fields::from(wanted));
    }
}

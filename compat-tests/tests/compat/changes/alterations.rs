//! Random changes of the tables themselves.

use super::statements::{DEFERRALS, Generator};
use super::tables::{Column, Rule, TYPES, Table, type_named};

impl Generator {
    /// A statement, and the table as it is when the statement succeeds.
    pub(super) fn alteration(&mut self) -> (String, Table) {
        let mut table = self.table();
        let name = table.name;
        let free: Vec<Column> = table.free().into_iter().cloned().collect();
        let one = (!free.is_empty()).then(|| self.random.pick(&free).clone());
        let position = |id: u64| {
            self.tables[..]
                .iter()
                .find(|t| t.name == name)
                .and_then(|t| t.columns.iter().position(|column| column.id == id))
        };
        let at = one.as_ref().and_then(|column| position(column.id));
        let (Some(column), Some(at)) = (one, at) else {
            return self.add_column(table);
        };
        let c = &column.name;
        let said = match self.random.below(20) {
            0..3 => return self.add_column(table),
            3..6 => {
                table.columns.remove(at);
                table.rules.retain(|(_, _, of)| !of.contains(&column.id));
                format!("DROP COLUMN {c}")
            }
            6..8 => {
                let new = match self.random.below(10) {
                    9 => "\"Ünï C\"".to_string(),
                    digit => format!("c{digit}"),
                };
                let said = format!("RENAME COLUMN {c} TO {new}");
                table.columns[at].name = new;
                said
            }
            8..11 => {
                let widens = |c: &&Column| !c.ty.wider.is_empty();
                let candidates: Vec<&Column> = free.iter().filter(widens).collect();
                if candidates.is_empty() {
                    return self.add_column(table);
                }
                let column = *self.random.pick(&candidates);
                let wider = *self.random.pick(column.ty.wider);
                let mut columns = table.columns.iter_mut();
                let changed = columns.find(|c| c.id == column.id);
                changed.expect("it is one of them").ty = type_named(wider);
                format!("ALTER COLUMN {} TYPE {wider}", column.name)
            }
            11..13 => {
                let default = match self.random.below(2) {
                    0 => None,
                    _ => Some(column.ty.value(&mut self.random)),
                };
                let said = match &default {
                    Some(value) => format!("ALTER COLUMN {c} SET DEFAULT {value}"),
                    None => format!("ALTER COLUMN {c} DROP DEFAULT"),
                };
                table.columns[at].default = default;
                said
            }
            13 => {
                table.columns[at].not_null = !column.not_null;
                let verb = if column.not_null { "DROP" } else { "SET" };
                format!("ALTER COLUMN {c} {verb} NOT NULL")
            }
            14 if name == "ch" => match self.random.below(3) {
                0 => "DROP CONSTRAINT fk1".to_string(),
                1 => format!("ALTER CONSTRAINT fk1 {}", self.random.pick(&DEFERRALS)),
                _ => format!("ADD {}", self.reference()),
            },
            kind => return self.rule(table, &free, kind),
        };
        (format!("ALTER TABLE {name} {said}"), table)
    }

    fn add_column(&mut self, mut table: Table) -> (String, Table) {
        let ty = self.random.pick(TYPES);
        let name = format!("c{}", self.random.below(9));
        let mut column = self.column(&name, ty.name);
        if self.random.once_in(2) {
            let value = ty.value(&mut self.random);
            column.not_null = self.random.once_in(3);
            column.default = Some(value);
        }
        let said = format!(
            "ALTER TABLE {} ADD COLUMN {}",
            table.name,
            column.definition()
        );
        table.columns.push(column);
        (said, table)
    }

    /// A unique constraint, an index or a check comes or goes.
    fn rule(&mut self, mut table: Table, free: &[Column], kind: u64) -> (String, Table) {
        let name = table.name;
        if !table.rules.is_empty() && self.random.once_in(3) {
            let at = self.random.below(table.rules.len() as u64) as usize;
            let (rule, kind, _) = table.rules.remove(at);
            let said = match kind {
                Rule::Index => format!("DROP INDEX {rule}"),
                _ => format!("ALTER TABLE {name} DROP CONSTRAINT {rule}"),
            };
            return (said, table);
        }
        let number = self.random.below(100);
        let keys: Vec<&Column> = free.iter().filter(|c| c.ty.is_key()).collect();
        if keys.is_empty() || kind >= 18 {
            let column = self.random.pick(free);
            let rule = format!("{name}_k{number}");
            let condition = match self.random.below(3) {
                0 => "id < 100000".to_string(),
                1 => format!("{} IS NOT NULL OR id >= 0", column.name),
                _ => format!("{} IS NULL OR id <> 77", column.name),
            };
            // A check that does not name the column outlives it.
            let of = if condition.contains(&column.name) {
                vec![column.id]
            } else {
                vec![]
            };
            table.rules.push((rule.clone(), Rule::Check, of));
            return (
                format!("ALTER TABLE {name} ADD CONSTRAINT {rule} CHECK ({condition})"),
                table,
            );
        }
        let mut of = vec![*self.random.pick(&keys)];
        let second = *self.random.pick(&keys);
        if second.id != of[0].id && self.random.once_in(2) {
            of.push(second);
        }
        let id = &table.columns[0];
        if self.random.once_in(2) {
            of.push(id);
        }
        let names: Vec<&str> = of.iter().map(|c| c.name.as_str()).collect();
        let (names, of) = (names.join(", "), of.iter().map(|c| c.id).collect());
        let (rule, kind, said) = match kind % 2 {
            0 => {
                let rule = format!("{name}_u{number}");
                let said = format!("ALTER TABLE {name} ADD CONSTRAINT {rule} UNIQUE ({names})");
                (rule, Rule::Unique, said)
            }
            _ => {
                let rule = format!("{name}_i{number}");
                let said = format!("CREATE INDEX {rule} ON {name} ({names})");
                (rule, Rule::Index, said)
            }
        };
        table.rules.push((rule, kind, of));
        (said, table)
    }
}

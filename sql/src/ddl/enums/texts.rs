//! Types that users made, in the texts that definitions keep: defaults, conditions, expressions and queries name them.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType, Expr, ObjectName, TypedString, Value, ValueWithSpan, VisitorMut,
};
use tidelog_storage::catalog::Materialized;
use tidelog_storage::{ColumnDef, ColumnType, ElementType, EnumDef, EnumType, TableDef, ViewDef};

use crate::ddl::{Scope, enums, fold, split};
use crate::error::SqlError;
use crate::parse::walk::WalkMut;
use crate::parse::{identifier, parse_expression, parse_query, quoted};

/// Shows each name of a type that is none of PostgreSQL's own.
fn each_type(part: &mut impl WalkMut, each: &mut dyn FnMut(&mut ObjectName)) {
    struct Types<'a>(&'a mut dyn FnMut(&mut ObjectName));
    impl VisitorMut for Types<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Cast { data_type, .. } | Expr::TypedString(TypedString { data_type, .. }) =
                expr
            {
                let named = match data_type {
                    DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) => &mut **element,
                    other => other,
                };
                if let DataType::Custom(name, _) = named {
                    (self.0)(name);
                }
            }
            ControlFlow::Continue(())
        }
    }
    let _ = part.walk_mut(&mut Types(each));
}

/// Names the types that users made with their schemas, so that the search path of the moment decides.
pub(in crate::ddl) fn qualify(part: &mut impl WalkMut, scope: Scope<'_>) {
    each_type(part, &mut |name| {
        if let [only] = name.0.as_slice()
            && let Some(ident) = only.as_ident()
            && let (catalog, path) = (scope.catalog, scope.search_path)
            && let Some(ColumnType::Enum(of)) = enums::find(catalog, path, None, &fold(ident))
        {
            let definition = of.definition();
            let parts = [&definition.schema, &definition.name].map(|part| quoted(part));
            *name = ObjectName::from(parts.to_vec());
        }
    });
}

/// An expression as it is shown along a search path: types whose schema is on it without their schema.
pub(crate) fn unqualified(written: &str, search_path: &[String]) -> String {
    let Ok(mut expr) = parse_expression(written) else {
        return written.to_string();
    };
    let mut changed = false;
    each_type(&mut expr, &mut |name| {
        if let Ok((Some(schema), of)) = split(name)
            && search_path.contains(&schema)
        {
            let bare = identifier(&of);
            let quote = (bare != of).then_some('"');
            let ident = datafusion::sql::sqlparser::ast::Ident {
                quote_style: quote,
                ..quoted(&of)
            };
            *name = ObjectName::from(vec![ident]);
            changed = true;
        }
    });
    if changed {
        expr.to_string()
    } else {
        written.to_string()
    }
}

/// An enum type that changes: what definitions say of it follows.
pub(super) struct Change {
    pub(super) old: EnumType,
    pub(super) new: EnumType,
}

impl Change {
    fn ty(&self, ty: ColumnType) -> ColumnType {
        match ty {
            ColumnType::Enum(of) if of == self.old => ColumnType::Enum(self.new),
            ColumnType::Array(ElementType::Enum(of)) if of == self.old => {
                ColumnType::Array(ElementType::Enum(self.new))
            }
            ColumnType::Shaped(ElementType::Enum(of)) if of == self.old => {
                ColumnType::Shaped(ElementType::Enum(self.new))
            }
            ty => ty,
        }
    }

    fn is_renamed(&self) -> bool {
        let name = |of: EnumType| (&of.definition().schema, &of.definition().name);
        name(self.old) != name(self.new)
    }

    fn rename(&self, part: &mut impl WalkMut) {
        let new = self.new.definition();
        each_type(part, &mut |name| {
            if is_named(name, self.old.definition()) {
                let parts = [&new.schema, &new.name].map(|part| quoted(part));
                *name = ObjectName::from(parts.to_vec());
            }
        });
    }

    fn expression(&self, written: &mut String) -> Result<(), SqlError> {
        if self.is_renamed() && mentions(written, self.old.definition()) {
            let mut expr = parse_expression(written)?;
            self.rename(&mut expr);
            *written = expr.to_string();
        }
        Ok(())
    }

    fn query(&self, written: &mut String) -> Result<(), SqlError> {
        if self.is_renamed() && mentions(written, self.old.definition()) {
            let mut query = parse_query(written)?;
            self.rename(&mut query);
            *written = query.to_string();
        }
        Ok(())
    }

    /// The table with the type as it is now; `None` when it has nothing to do with it.
    pub(super) fn table(&self, before: &TableDef) -> Result<Option<TableDef>, SqlError> {
        let mut table = TableDef::clone(before);
        for column in &mut table.columns {
            column.ty = self.ty(column.ty);
            for written in [&mut column.default, &mut column.generated] {
                written.as_mut().map_or(Ok(()), |it| self.expression(it))?;
            }
        }
        for check in &mut table.checks {
            self.expression(&mut check.condition)?;
        }
        for computed in &mut table.computed {
            computed.ty = self.ty(computed.ty);
            self.expression(&mut computed.expression)?;
        }
        if let Some(Materialized { query, .. }) = &mut table.materialized {
            self.query(query)?;
        }
        if table == *before {
            return Ok(None);
        }
        table.bump_schema_version();
        Ok(Some(table))
    }

    /// The view with the type as it is now; `None` when it has nothing to do with it.
    pub(super) fn view(&self, before: &ViewDef) -> Result<Option<ViewDef>, SqlError> {
        let mut view = ViewDef::clone(before);
        for (_, ty) in &mut view.columns {
            *ty = self.ty(*ty);
        }
        self.query(&mut view.query)?;
        Ok((view != *before).then_some(view))
    }
}

impl Change {
    /// The table with the type, a label of which has another name; `None` when it has nothing to do with it. 0A000 where its
    /// definition has the label in a place that may be of the type or not.
    pub(super) fn table_with_label(
        &self,
        before: &TableDef,
        label: &(String, String),
    ) -> Result<Option<TableDef>, SqlError> {
        let mut table = TableDef::clone(before);
        let has_it = before
            .columns
            .iter()
            .any(|of| enums::is_of(of.ty, self.old));
        for column in &mut table.columns {
            let is_own = column.ty == ColumnType::Enum(self.old);
            let near = enums::is_of(column.ty, self.old);
            column.ty = self.ty(column.ty);
            if let Some(default) = &mut column.default {
                self.relabel(default, label, is_own, near)?;
            }
            if let Some(generated) = &mut column.generated {
                self.relabel(generated, label, false, has_it)?;
            }
        }
        for check in &mut table.checks {
            self.relabel(&mut check.condition, label, false, has_it)?;
        }
        for computed in &mut table.computed {
            computed.ty = self.ty(computed.ty);
            self.relabel(&mut computed.expression, label, false, has_it)?;
        }
        if let Some(Materialized { query, .. }) = &mut table.materialized {
            let mut parsed = parse_query(query)?;
            if self.relabel_part(&mut parsed, label, true)? {
                *query = parsed.to_string();
            }
        }
        if table == *before {
            return Ok(None);
        }
        table.bump_schema_version();
        Ok(Some(table))
    }

    /// The view likewise.
    pub(super) fn view_with_label(
        &self,
        before: &ViewDef,
        label: &(String, String),
    ) -> Result<Option<ViewDef>, SqlError> {
        let mut view = ViewDef::clone(before);
        for (_, ty) in &mut view.columns {
            *ty = self.ty(*ty);
        }
        let mut query = parse_query(&view.query)?;
        if self.relabel_part(&mut query, label, true)? {
            view.query = query.to_string();
        }
        Ok((view != *before).then_some(view))
    }

    /// An expression with a label's new name; `whole` where it is of the type itself, `near` where bare literals in it may be.
    fn relabel(
        &self,
        written: &mut String,
        label: &(String, String),
        whole: bool,
        near: bool,
    ) -> Result<(), SqlError> {
        if !written.contains(&label.0) {
            return Ok(());
        }
        let mut expr = parse_expression(written)?;
        let is_bare =
            |expr: &Expr| matches!(expr, Expr::Value(value) if is_label(&value.value, &label.0));
        if whole && is_bare(&expr) {
            *written = Expr::Value(Value::SingleQuotedString(label.1.clone()).into()).to_string();
        } else if self.relabel_part(&mut expr, label, near)? {
            *written = expr.to_string();
        }
        Ok(())
    }

    /// Renames the label where it is cast to the type, and tells whether it did; 0A000 where it is left in another place.
    fn relabel_part(
        &self,
        part: &mut impl WalkMut,
        label: &(String, String),
        near: bool,
    ) -> Result<bool, SqlError> {
        struct Labels<'a> {
            of: &'a EnumDef,
            label: &'a (String, String),
            renamed: bool,
            left: bool,
        }
        impl VisitorMut for Labels<'_> {
            type Break = ();

            fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
                let is_own = |ty: &DataType| matches!(ty, DataType::Custom(name, _) if is_named(name, self.of));
                let value = match expr {
                    Expr::Cast {
                        expr, data_type, ..
                    } if is_own(data_type) => match &mut **expr {
                        Expr::Value(value) => value,
                        _ => return ControlFlow::Continue(()),
                    },
                    Expr::TypedString(typed) if is_own(&typed.data_type) => &mut typed.value,
                    _ => return ControlFlow::Continue(()),
                };
                if is_label(&value.value, &self.label.0) {
                    value.value = Value::SingleQuotedString(self.label.1.clone());
                    self.renamed = true;
                }
                ControlFlow::Continue(())
            }

            fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
                self.left |= matches!(&value.value, Value::SingleQuotedString(text)
                    if text == &self.label.0 || text.starts_with('{') && text.contains(&self.label.0));
                ControlFlow::Continue(())
            }
        }
        let mut labels = Labels {
            of: self.old.definition(),
            label,
            renamed: false,
            left: false,
        };
        let _ = part.walk_mut(&mut labels);
        if labels.left && near {
            let what = format!(
                "ALTER TYPE … RENAME VALUE of \"{}\", which a view, a condition, a default or an index names without its type,",
                label.0
            );
            return Err(SqlError::unsupported(what));
        }
        Ok(labels.renamed)
    }
}

fn is_label(value: &Value, label: &str) -> bool {
    matches!(value, Value::SingleQuotedString(text) if text == label)
}

/// Whether a text may name a type.
fn mentions(written: &str, of: &EnumDef) -> bool {
    written.to_lowercase().contains(&of.name.to_lowercase())
}

fn is_named(name: &ObjectName, of: &EnumDef) -> bool {
    // Conditions of earlier versions name types without a schema.
    split(name).is_ok_and(|(schema, name)| {
        name == of.name && schema.is_none_or(|schema| schema == of.schema)
    })
}

fn is_in(part: &mut impl WalkMut, of: &EnumDef) -> bool {
    let mut found = false;
    each_type(part, &mut |name| found |= is_named(name, of));
    found
}

fn names(written: &str, of: &EnumDef) -> bool {
    mentions(written, of) && parse_expression(written).is_ok_and(|mut expr| is_in(&mut expr, of))
}

/// What of a table depends on a type, but for columns of the type and what is theirs, as errors name it.
pub(super) fn dependents(table: &TableDef, of: EnumType) -> Vec<String> {
    let is_other = |column: &&ColumnDef| !enums::is_of(column.ty, of);
    let of = of.definition();
    let on = identifier(&table.name);
    let mut lines = Vec::new();
    for column in table.columns.iter().filter(is_other) {
        let name = &column.name;
        if column.default.as_ref().is_some_and(|it| names(it, of)) {
            lines.push(format!("default value for column {name} of table {on}"));
        }
        if column.generated.as_ref().is_some_and(|it| names(it, of)) {
            lines.push(format!("column {name} of table {on}"));
        }
    }
    let checks = table.checks.iter();
    let checks = checks.filter(|check| names(&check.condition, of));
    lines.extend(checks.map(|check| format!("constraint {} on table {on}", check.name)));
    for index in &table.indexes {
        let mut computed = index.columns.iter().chain(&index.predicate);
        if computed.any(|id| {
            table
                .computed_of(*id)
                .is_some_and(|it| names(&it.expression, of))
        }) {
            lines.push(format!("index {}", identifier(&index.name)));
        }
    }
    let query = table.materialized.as_ref().map(|view| &view.query);
    if query.is_some_and(|query| query_names(query, of)) {
        lines.push(format!("materialized view {on}"));
    }
    lines
}

/// Whether a view depends on a type.
pub(super) fn view_depends(view: &ViewDef, of: &EnumDef) -> bool {
    query_names(&view.query, of)
}

fn query_names(written: &str, of: &EnumDef) -> bool {
    mentions(written, of) && parse_query(written).is_ok_and(|mut query| is_in(&mut query, of))
}

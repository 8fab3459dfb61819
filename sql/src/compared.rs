//! What filters say of a table's columns, and of the expressions that its indexes have.

use std::ops::Bound;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::utils::{split_binary, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use tidelog_storage::{
    ColumnId, ColumnType, Datum, Partition, PartitionSet, TableDef, TableKind, datum,
};

use crate::constraints::computed::filters_of;
use crate::functions::order;
use crate::provider::USER;

/// The filters of a scan, beside the table that they are over.
pub(crate) struct Compared<'a> {
    table: &'a TableDef,
    filters: &'a [Expr],
    /// The expressions of the table's indexes.
    computed: Vec<Expr>,
}

/// What filters leave of the values of a column or expression.
pub(crate) struct Bounds {
    pub(crate) equal: Option<Datum>,
    pub(crate) lower: Bound<Datum>,
    pub(crate) upper: Bound<Datum>,
    /// Whether they are no NULLs, as `IS NOT NULL` says.
    pub(crate) not_null: bool,
}

impl Default for Bounds {
    /// All values.
    fn default() -> Bounds {
        Bounds {
            equal: None,
            lower: Bound::Unbounded,
            upper: Bound::Unbounded,
            not_null: false,
        }
    }
}

impl<'a> Compared<'a> {
    pub(crate) fn new(table: &'a TableDef, filters: &'a [Expr]) -> Compared<'a> {
        let computed = match filters.is_empty() {
            true => Vec::new(),
            false => filters_of(table),
        };
        Compared {
            table,
            filters,
            computed,
        }
    }

    /// An expression of the table's indexes.
    fn computed(&self, id: ColumnId) -> Option<&Expr> {
        let at = self.table.computed.iter().position(|of| of.id == id)?;
        self.computed.get(at)
    }

    /// `None` when no filter compares the column or expression with a value of its type, or says that it is not NULL.
    pub(crate) fn bounds(&self, id: ColumnId) -> Option<Bounds> {
        let ty = self.table.type_of(id)?;
        let mut bounds = Bounds::default();
        let is_not_null =
            |filter: &Expr| matches!(filter, Expr::IsNotNull(value) if self.is_it(value, id));
        bounds.not_null = self.filters.iter().any(is_not_null);
        let mut any = bounds.not_null;
        for (side, op, value) in self.filters.iter().filter_map(comparison) {
            if !self.is_it(&side, id) {
                continue;
            }
            let Some(Some(value)) = value_of(&value, ty) else {
                continue;
            };
            match op {
                Operator::Eq => bounds.equal = Some(value),
                Operator::Gt => bounds.lower = Bound::Excluded(value),
                Operator::GtEq => bounds.lower = Bound::Included(value),
                Operator::Lt => bounds.upper = Bound::Excluded(value),
                Operator::LtEq => bounds.upper = Bound::Included(value),
                _ => continue,
            }
            any = true;
        }
        any.then_some(bounds)
    }

    /// The values that the filters leave of a column or expression, where they list them; none of them is NULL.
    pub(crate) fn values(&self, id: ColumnId) -> Option<Vec<Datum>> {
        if let Some(value) = self.bounds(id).and_then(|bounds| bounds.equal) {
            return Some(vec![value]);
        }
        let listed = self.filters.iter();
        let listed = listed.filter_map(|filter| self.listed(filter, id));
        listed.min_by_key(Vec::len)
    }

    /// The same of one filter that says `IN (…)` or is an OR of such or of equalities.
    fn listed(&self, filter: &Expr, id: ColumnId) -> Option<Vec<Datum>> {
        let ty = self.table.type_of(id)?;
        match filter {
            Expr::BinaryExpr(BinaryExpr { op, .. }) if *op == Operator::Or => {
                let mut values = Vec::new();
                for side in split_binary(filter, Operator::Or) {
                    values.extend(self.listed(side, id)?);
                }
                Some(values)
            }
            Expr::InList(list) if !list.negated => {
                let of_numbers = order::list_of_numbers(list);
                let list = of_numbers.as_ref().unwrap_or(list);
                if !self.is_it(&list.expr, id) {
                    return None;
                }
                let mut values = Vec::with_capacity(list.list.len());
                for value in &list.list {
                    let Expr::Literal(value, _) = value else {
                        return None;
                    };
                    values.extend(value_of(value, ty)?);
                }
                Some(values)
            }
            _ => {
                let (side, op, value) = comparison(filter)?;
                if op != Operator::Eq || !self.is_it(&side, id) {
                    return None;
                }
                Some(value_of(&value, ty)?.into_iter().collect())
            }
        }
    }

    /// Whether an expression is the column or expression.
    fn is_it(&self, side: &Expr, id: ColumnId) -> bool {
        match (side, self.table.index_of(id)) {
            (Expr::Column(named), Some(at)) => named.name == self.table.columns[at].name,
            (side, None) => Some(side) == self.computed(id),
            _ => false,
        }
    }

    /// Whether all rows that pass the filters meet an index's condition: each part of it is a filter, too, or says of
    /// something that is compared that it is not NULL.
    pub(crate) fn implies(&self, predicate: Option<ColumnId>) -> bool {
        let Some(predicate) = predicate else {
            return true;
        };
        let Some(condition) = self.computed(predicate) else {
            return false;
        };
        let holds = |part: &Expr| {
            self.filters
                .iter()
                .flat_map(split_conjunction)
                .any(|filter| {
                    filter == part
                        || matches!(part, Expr::IsNotNull(value) if compares(filter, value))
                })
        };
        split_conjunction(condition).into_iter().all(holds)
    }
}

/// Whether a filter compares a value with another, which is true of no NULL.
fn compares(filter: &Expr, value: &Expr) -> bool {
    use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
                && (**left == *value || **right == *value)
        }
        Expr::InList(list) => !list.negated && *list.expr == *value,
        _ => false,
    }
}

/// A literal as a value of a type, or that it is NULL or an integer which the type does not have; `None` for one of another type.
fn value_of(literal: &ScalarValue, ty: ColumnType) -> Option<Option<Datum>> {
    let array = literal.to_array().ok()?;
    let value = datum::datum_at(&array, 0)?.to_owned();
    if *array.data_type() == ty.arrow() {
        return Some((!value.is_null()).then_some(value));
    }
    let number = match value {
        Datum::Int2(number) => number.into(),
        Datum::Int4(number) => number.into(),
        Datum::Int8(number) => number,
        _ => return None,
    };
    match ty {
        ColumnType::Int2 => Some(number.try_into().ok().map(Datum::Int2)),
        ColumnType::Int4 => Some(number.try_into().ok().map(Datum::Int4)),
        ColumnType::Int8 => Some(Some(Datum::Int8(number))),
        _ => None,
    }
}

/// `expression op literal`, in this order or the other.
fn comparison(filter: &Expr) -> Option<(Expr, Operator, ScalarValue)> {
    let Expr::BinaryExpr(comparison) = filter else {
        return None;
    };
    let of_numbers = order::of_numbers(comparison);
    let BinaryExpr { left, op, right } = of_numbers.unwrap_or_else(|| comparison.clone());
    match (*left, *right) {
        (side, Expr::Literal(value, _)) => Some((side, op, value)),
        (Expr::Literal(value, _), side) => Some((side, op.swap()?, value)),
        _ => None,
    }
}

/// The partition of a USER table that a comparison of `_user` with a literal leaves; all of them without one.
pub(crate) fn user_of(table: &TableDef, filters: &[Expr]) -> PartitionSet {
    let compared = filters.iter().filter_map(comparison);
    let mut users = compared.filter_map(|(side, op, value)| match (side, value) {
        (Expr::Column(column), ScalarValue::Utf8(Some(user)))
            if table.kind == TableKind::User && column.name == USER && op == Operator::Eq =>
        {
            Some(Partition::user(&user))
        }
        _ => None,
    });
    users.next().map_or(PartitionSet::All, PartitionSet::One)
}

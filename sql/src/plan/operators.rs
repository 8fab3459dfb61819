//! Operands as PostgreSQL types them, before DataFusion's coercions see them.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::{Between, InList};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use tidelog_storage::datum::ColumnBuilder;
use tidelog_storage::{ColumnType, Datum};

use crate::error::{ErrorKind, SqlError};
use crate::{casts, functions, output, text, types};

/// Types the operands of comparisons and arithmetic: a bare string literal takes the type of the other side, an
/// integer literal is an int4 where it fits, and text compares with nothing but text.
#[derive(Debug)]
pub(crate) struct PostgresOperators;

impl ExprPlanner for PostgresOperators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = expr;
        use BinaryOperator::{
            Divide, Eq, Gt, GtEq, Lt, LtEq, Minus, Modulo, Multiply, NotEq, Plus,
        };
        let compares = matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq);
        let calculates = matches!(op, Plus | Minus | Multiply | Divide | Modulo);
        let (left, right) = if compares || calculates {
            let (left, right) = type_pair(left, right, schema)?;
            if compares {
                check_comparable(&op, &left, &right, schema)?;
            }
            (left, right)
        } else {
            (left, right)
        };
        Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
    }
}

/// Gives the rest of a plan's expressions PostgreSQL's meaning: literals in IN lists and BETWEEN as beside
/// operators, casts to and from text by its text forms, functions of bytea. After this DataFusion adds casts of
/// its own, which are none of the statement's.
pub(super) fn follow_postgres(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| {
        let mut schema = DFSchema::empty();
        plan.inputs()
            .iter()
            .for_each(|input| schema.merge(input.schema()));
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_up(|expr| rewrite(expr, &schema))?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })
    })
    .map(|plan| plan.data)
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::InList(InList {
            expr,
            list,
            negated,
        }) => {
            let list = list
                .into_iter()
                .map(|item| type_literal(item, &expr, schema))
                .collect::<Result<_>>()?;
            Transformed::yes(Expr::InList(InList::new(expr, list, negated)))
        }
        Expr::Between(Between {
            expr,
            negated,
            low,
            high,
        }) => {
            let low = Box::new(type_literal(*low, &expr, schema)?);
            let high = Box::new(type_literal(*high, &expr, schema)?);
            Transformed::yes(Expr::Between(Between::new(expr, negated, low, high)))
        }
        Expr::Cast(cast) => casts::rewrite(cast, schema),
        Expr::ScalarFunction(call) => functions::rewrite_of_bytea(call, schema),
        other => Transformed::no(other),
    })
}

fn type_pair(left: Expr, right: Expr, schema: &DFSchema) -> Result<(Expr, Expr)> {
    let (left, right) = match (small_literal(&left), small_literal(&right)) {
        (Some(l), Some(r)) => (int4(l), int4(r)),
        (Some(l), None) if is_small_int(&right, schema) => (int4(l), right),
        (None, Some(r)) if is_small_int(&left, schema) => (left, int4(r)),
        _ => (left, right),
    };
    let right = type_literal(right, &left, schema)?;
    let left = type_literal(left, &right, schema)?;
    Ok((left, right))
}

/// An integer literal that PostgreSQL reads as an int4.
fn small_literal(expr: &Expr) -> Option<i32> {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(value)), _) => i32::try_from(*value).ok(),
        Expr::Literal(ScalarValue::Int32(Some(value)), _) => Some(*value),
        _ => None,
    }
}

fn int4(value: i32) -> Expr {
    Expr::Literal(ScalarValue::Int32(Some(value)), None)
}

fn is_small_int(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(
        known_type(expr, schema),
        Some(ColumnType::Int2 | ColumnType::Int4)
    )
}

/// The type of an operand whose type does not depend on the other.
fn known_type(expr: &Expr, schema: &DFSchema) -> Option<ColumnType> {
    if is_bare_string(expr) {
        return None;
    }
    let (_, field) = expr.to_field(schema).ok()?;
    if field.data_type().is_null() {
        return None;
    }
    output::column_type(&field).ok()
}

fn is_bare_string(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Utf8(Some(_)), _))
}

/// A bare string literal beside an operand of another type than text becomes a literal of that type.
fn type_literal(expr: Expr, other: &Expr, schema: &DFSchema) -> Result<Expr> {
    let Expr::Literal(ScalarValue::Utf8(Some(literal)), _) = &expr else {
        return Ok(expr);
    };
    if let Ok(DataType::List(item)) = other.get_type(schema)
        && let Ok(ty) = output::column_type(&item)
    {
        let array = crate::system::array_of(ty, std::iter::once(&Datum::Text(literal.clone())))?;
        let value = ScalarValue::try_from_array(&array, 0)?;
        return Ok(Expr::Literal(value, None));
    }
    let ty = match known_type(other, schema) {
        None | Some(ColumnType::Text | ColumnType::Varchar(_)) => return Ok(expr),
        Some(ty) => ty,
    };
    let ty = match ty {
        // It keeps the digits it has, whatever those of the column.
        ColumnType::Numeric(Some(_)) => {
            shape_of(&text::parse(ColumnType::Numeric(None), literal).map_err(external)?)
        }
        ty => ty,
    };
    let value = text::parse(ty, literal).map_err(external)?;
    let mut builder = ColumnBuilder::new(ty);
    builder.append(value.as_ref());
    let value = ScalarValue::try_from_array(&builder.finish(), 0)?;
    Ok(Expr::Literal(value, None))
}

/// The narrowest numeric type that holds a value.
fn shape_of(value: &Datum) -> ColumnType {
    let mut written = String::new();
    text::write(value.as_ref(), &mut written);
    let digits = |part: &str| part.bytes().filter(u8::is_ascii_digit).count();
    let scale = written
        .split_once('.')
        .map_or(0, |(_, fraction)| digits(fraction));
    let narrow = |count: usize| u8::try_from(count).expect("a numeric has at most 76 digits");
    ColumnType::Numeric(Some((
        narrow(digits(&written)),
        narrow(scale).cast_signed(),
    )))
}

fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn check_comparable(
    op: &BinaryOperator,
    left: &Expr,
    right: &Expr,
    schema: &DFSchema,
) -> Result<()> {
    let (Some(l), Some(r)) = (known_type(left, schema), known_type(right, schema)) else {
        return Ok(());
    };
    if class(l) == class(r) {
        return Ok(());
    }
    let message = format!(
        "operator does not exist: {} {op} {}",
        types::name(l),
        types::name(r)
    );
    let hint = "No operator matches the given name and argument types. You might need to add explicit type casts.";
    Err(external(
        SqlError::new(ErrorKind::UndefinedFunction, message).hint(hint),
    ))
}

/// Types of one class compare with each other.
fn class(ty: ColumnType) -> &'static str {
    match ty {
        ColumnType::Int2
        | ColumnType::Int4
        | ColumnType::Int8
        | ColumnType::Float4
        | ColumnType::Float8
        | ColumnType::Numeric(_) => "number",
        ColumnType::Text | ColumnType::Varchar(_) => "text",
        ColumnType::Date | ColumnType::Timestamp | ColumnType::TimestampTz => "time",
        ColumnType::Bool => "bool",
        ColumnType::Bytea => "bytea",
        ColumnType::Uuid => "uuid",
        ColumnType::Jsonb => "jsonb",
    }
}

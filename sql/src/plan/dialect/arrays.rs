//! Casts of array literals, subscripts, and what is written as a subquery over an array.

use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, ArrayElemTypeDef, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, Subscript, TableFactor, Value,
};

use super::{call, cast, name_of, take};
use crate::plan::unnested;
use crate::{ddl, functions};

/// A cast of an array literal is a cast of each of its elements, also of such as have no common type.
pub(super) fn cast_elements(literal: &mut Expr, element: &DataType) {
    if let DataType::Array(ArrayElemTypeDef::SquareBracket(inner, _)) = element {
        return cast_elements(literal, inner);
    }
    let Expr::Function(function) = literal else {
        return;
    };
    let FunctionArguments::List(list) = &mut function.args else {
        return;
    };
    if name_of(&function.name).as_deref() != Some(functions::ARRAY) {
        return;
    }
    let is_literal = |expr: &Expr| match expr {
        Expr::Function(inner) => name_of(&inner.name).as_deref() == Some(functions::ARRAY),
        _ => false,
    };
    // Beside an array all elements are arrays, `'{1,2}'` among them.
    let of_arrays = list.args.iter().any(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Cast { data_type, .. })) => {
            matches!(data_type, DataType::Array(_))
        }
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => is_literal(expr),
        _ => false,
    });
    let ty = match of_arrays {
        true => DataType::Array(ArrayElemTypeDef::SquareBracket(
            Box::new(element.clone()),
            None,
        )),
        false => element.clone(),
    };
    for arg in &mut list.args {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg else {
            continue;
        };
        if cast_empty(expr, element) {
            continue;
        }
        match is_literal(expr) {
            true => cast_elements(expr, element),
            false => *expr = cast(take(expr), ty.clone()),
        }
    }
}

/// Makes `ARRAY[]` below a cast, which tells its type, an array of that without elements; says whether it was that.
pub(super) fn cast_empty(literal: &mut Expr, element: &DataType) -> bool {
    let Expr::Function(function) = literal else {
        return false;
    };
    let is_empty = match &function.args {
        FunctionArguments::List(list) => list.args.is_empty(),
        _ => false,
    };
    let is = is_empty && name_of(&function.name).as_deref() == Some(functions::ARRAY);
    if is {
        let none = Expr::Value(Value::SingleQuotedString("{}".to_string()).into());
        let array = ArrayElemTypeDef::SquareBracket(Box::new(element.clone()), None);
        // It is called "array".
        *literal = call("pg_or_empty", vec![cast(none, DataType::Array(array))]);
    }
    is
}

/// Makes the column of `t.column[1]` one name, which sqlparser takes for a field of `t`.
pub(super) fn join_name(root: &mut Expr, access_chain: &mut Vec<AccessExpr>) {
    let field = |access: &AccessExpr| match access {
        AccessExpr::Dot(Expr::Identifier(field)) => Some(field.clone()),
        _ => None,
    };
    let fields: Vec<Ident> = access_chain.iter().map_while(field).collect();
    let mut parts = match root {
        Expr::Identifier(name) => vec![name.clone()],
        Expr::CompoundIdentifier(names) => names.clone(),
        _ => return,
    };
    if !fields.is_empty() && fields.len() < access_chain.len() {
        access_chain.drain(..fields.len());
        parts.extend(fields);
        *root = Expr::CompoundIdentifier(parts);
    }
}

/// `value[1][2]` as a call with the value and the subscripts, or, where one is a slice, the bounds of slices.
pub(super) fn subscripted(value: Expr, chain: Vec<AccessExpr>) -> Expr {
    let subscripts = chain.into_iter().filter_map(|access| match access {
        AccessExpr::Subscript(subscript) => Some(subscript),
        AccessExpr::Dot(_) => None,
    });
    let subscripts: Vec<Subscript> = subscripts.collect();
    let is_slice = |of: &Subscript| matches!(of, Subscript::Slice { .. });
    let name = match subscripts.iter().any(is_slice) {
        true => "pg_slice",
        false => "pg_element",
    };
    // TRUE stands for a bound that is left out.
    let bound = |bound: Option<Expr>| bound.unwrap_or(Expr::Value(Value::Boolean(true).into()));
    let one = || Expr::Value(Value::Number("1".to_string(), false).into());
    let mut args = vec![value];
    for subscript in subscripts {
        match subscript {
            Subscript::Index { index } => {
                // Beside a slice it is one that begins at 1.
                if name == "pg_slice" {
                    args.push(one());
                }
                args.push(index);
            }
            Subscript::Slice {
                lower_bound,
                upper_bound,
                ..
            } => args.extend([bound(lower_bound), bound(upper_bound)]),
        }
    }
    call(name, args)
}

/// Tells arguments of `unnest` from others before them that are written alike, but for casts: DataFusion, which knows
/// expressions by how they are written, takes them for one.
pub(super) fn tell_apart(lists: &mut [Expr]) {
    fn bare(expr: &Expr) -> &Expr {
        match expr {
            Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => bare(inner),
            other => unnested::of_flat(other).map_or(other, bare),
        }
    }
    fn is_subquery(expr: &Expr) -> bool {
        match bare(expr) {
            Expr::Function(call) => matches!(call.args, FunctionArguments::Subquery(_)),
            expr => matches!(expr, Expr::Subquery(_)),
        }
    }
    let alike = |(at, list): (usize, &Expr)| {
        let before = lists[..at].iter();
        // Subqueries are all written alike.
        let alike =
            |other: &&Expr| bare(other) == bare(list) || is_subquery(other) && is_subquery(list);
        before.filter(alike).count()
    };
    let times: Vec<usize> = lists.iter().enumerate().map(alike).collect();
    for (list, times) in lists.iter_mut().zip(times) {
        // No array has no elements either.
        for _ in 0..times {
            *list = call("pg_or_empty", vec![take(list)]);
        }
    }
}

/// `ARRAY(SELECT 'x' || e FROM unnest(a) AS e)`: each element with something before it, also where the array is a
/// column of the query around it.
pub(super) fn prefixed(function: &Function) -> Option<Expr> {
    let FunctionArguments::Subquery(query) = &function.args else {
        return None;
    };
    let select = query.body.as_select()?;
    let ([ast::SelectItem::UnnamedExpr(item)], [from]) =
        (select.projection.as_slice(), select.from.as_slice())
    else {
        return None;
    };
    let Expr::BinaryOp {
        left,
        op: ast::BinaryOperator::StringConcat,
        right,
    } = item
    else {
        return None;
    };
    let (Expr::Value(prefix), Expr::Identifier(element)) = (&**left, &**right) else {
        return None;
    };
    let (array, alias) = match &from.relation {
        TableFactor::UNNEST {
            alias, array_exprs, ..
        } => match array_exprs.as_slice() {
            [array] => (array, alias),
            _ => return None,
        },
        TableFactor::Table {
            name,
            alias,
            args: Some(args),
            ..
        } if name_of(name).as_deref() == Some("unnest") => match args.args.as_slice() {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(array))] => (array, alias),
            _ => return None,
        },
        _ => return None,
    };
    let called = alias.as_ref()?;
    let plain = called.columns.is_empty()
        && ddl::fold(&called.name) == ddl::fold(element)
        && from.joins.is_empty()
        && select.selection.is_none()
        && select.distinct.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none();
    plain.then(|| {
        let prefix = Expr::Value(prefix.clone());
        call("pg_prefixed", vec![array.clone(), prefix])
    })
}

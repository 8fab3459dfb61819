//! GROUP BY DISTINCT and sets within sets, as the sets that they amount to.

use datafusion::sql::sqlparser::ast::{self, Expr, GroupByExpr};

use super::subqueries::arguments;
use crate::error::{ErrorKind, SqlError};
use crate::parse::arbiter::plain;
use crate::parse::forms::grouping::{CUBE, DISTINCT_SETS, NO_KEYS, ROLLUP, SETS};

/// PostgreSQL's limit of sets in a query.
const SETS_MAX: usize = 4096;

type Set = Vec<Expr>;

/// Writes the sets of a SELECT out, where DataFusion would not do it.
pub(super) fn spell_out(select: &mut ast::Select) -> Result<(), SqlError> {
    let GroupByExpr::Expressions(exprs, _) = &mut select.group_by else {
        return Ok(());
    };
    let distinct = exprs
        .first()
        .is_some_and(|first| is_word(first, DISTINCT_SETS));
    if distinct {
        exprs.remove(0);
    }
    let is_set = |expr: &Expr| {
        matches!(
            expr,
            Expr::GroupingSets(_) | Expr::Rollup(_) | Expr::Cube(_)
        )
    };
    let nests = |expr: &Expr| match expr {
        Expr::GroupingSets(rows) => rows.iter().flatten().any(|key| inner(key).is_some()),
        _ => false,
    };
    if !(exprs.iter().any(nests) || distinct && exprs.iter().any(is_set)) {
        return Ok(());
    }
    let mut sets: Vec<Set> = vec![Vec::new()];
    for expr in exprs.iter() {
        let own = match expr {
            Expr::GroupingSets(rows) => each(rows.iter().map(Vec::as_slice))?,
            Expr::Rollup(rows) => rollup(rows),
            Expr::Cube(rows) => cube(rows)?,
            Expr::Tuple(keys) => vec![keys.clone()],
            key => vec![vec![key.clone()]],
        };
        check_count(sets.len().saturating_mul(own.len()))?;
        let with = |set: &Set| {
            let set = set.clone();
            own.iter()
                .map(move |own| [set.as_slice(), own].concat())
                .collect::<Vec<_>>()
        };
        sets = sets.iter().flat_map(with).collect();
    }
    for set in &mut sets {
        let mut known = Vec::new();
        set.retain(|key| {
            let text = plain(key.clone()).to_string();
            let is_new = !known.contains(&text);
            known.push(text);
            is_new
        });
    }
    if distinct {
        let mut known = Vec::new();
        sets.retain(|set| {
            let texts = set.iter().map(|key| plain(key.clone()).to_string());
            let mut texts: Vec<String> = texts.collect();
            texts.sort_unstable();
            let is_new = !known.contains(&texts);
            known.push(texts);
            is_new
        });
    }
    *exprs = vec![Expr::GroupingSets(sets)];
    Ok(())
}

fn check_count(sets: usize) -> Result<(), SqlError> {
    match sets {
        ..=SETS_MAX => Ok(()),
        _ => {
            let message = format!("too many grouping sets present (maximum {SETS_MAX})");
            Err(SqlError::new(ErrorKind::StatementTooComplex, message))
        }
    }
}

fn is_word(expr: &Expr, word: &str) -> bool {
    matches!(expr, Expr::Identifier(name) if name.value == word)
}

/// Sets within sets: their kind and their elements.
fn inner(key: &Expr) -> Option<(&str, Vec<Set>)> {
    let Expr::Function(call) = key else {
        return None;
    };
    let name = match call.name.0.as_slice() {
        [only] => only.as_ident()?.value.as_str(),
        _ => return None,
    };
    let keys = |arg: &Expr| match arg {
        Expr::Tuple(keys) => keys.clone(),
        Expr::Nested(only) => vec![(**only).clone()],
        none if is_word(none, NO_KEYS) => Vec::new(),
        key => vec![key.clone()],
    };
    let args = [SETS, ROLLUP, CUBE]
        .contains(&name)
        .then(|| arguments(call))?;
    Some((name, args?.iter().map(keys).collect()))
}

/// The sets of elements, of which one may be sets of its own.
fn each<'a>(rows: impl Iterator<Item = &'a [Expr]>) -> Result<Vec<Set>, SqlError> {
    let mut sets = Vec::new();
    for row in rows {
        match row {
            [only] if let Some((kind, elements)) = inner(only) => sets.extend(match kind {
                ROLLUP => rollup(&elements),
                CUBE => cube(&elements)?,
                _ => each(elements.iter().map(Vec::as_slice))?,
            }),
            keys => sets.push(keys.to_vec()),
        }
        check_count(sets.len())?;
    }
    Ok(sets)
}

/// The sets of ROLLUP.
pub(super) fn rollup(rows: &[Set]) -> Vec<Set> {
    (0..=rows.len()).rev().map(|n| rows[..n].concat()).collect()
}

/// The sets of CUBE.
pub(super) fn cube(rows: &[Set]) -> Result<Vec<Set>, SqlError> {
    if rows.len() > 12 {
        let message = "CUBE is limited to 12 elements";
        return Err(SqlError::new(ErrorKind::TooManyColumns, message));
    }
    let chosen = |set: usize| {
        let rows = rows.iter().enumerate();
        let rows = rows.filter(move |(n, _)| set & (1 << n) != 0);
        rows.flat_map(|(_, row)| row.clone()).collect::<Set>()
    };
    Ok((0..1 << rows.len()).rev().map(chosen).collect())
}

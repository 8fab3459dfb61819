//! Functions of jsonb that a path is run by, and the operators `@?` and `@@`.

use tidelog_storage::ColumnType;

use super::call::{Eval, dsl::*};
use super::json::JSONPATH;
use crate::jsonpath::{Call, Path};

const JSONB: Param = Param::Of(T::Jsonb);
const PATH: Param = Param::Of(JSONPATH);
const BOOL: Param = Param::Of(T::Bool);

/// A value and a path, then variables, then whether errors of the path are none.
const TWO: &[Param] = &[JSONB, PATH];
const THREE: &[Param] = &[JSONB, PATH, JSONB];
const FOUR: &[Param] = &[JSONB, PATH, JSONB, BOOL];

/// A function with or without what may be left out.
const fn forms(name: &'static str, result: ColumnType, eval: Eval) -> [Function; 3] {
    [
        f(name, TWO, result, eval),
        f(name, THREE, result, eval),
        f(name, FOUR, result, eval),
    ]
}

/// The same of the functions that know the session's time zone.
const fn forms_tz(name: &'static str, result: ColumnType, eval: Eval) -> [Function; 3] {
    let [two, three, four] = forms(name, result, eval);
    [two.stable(), three.stable(), four.stable()]
}

pub(super) const OPERATORS: &[Function] = &[
    f("jsonb_path_exists_opr", TWO, T::Bool, |_, args| {
        any(&quiet(args)?)
    }),
    f("jsonb_path_match_opr", TWO, T::Bool, |_, args| {
        only(&quiet(args)?)
    }),
];

pub(super) const EXISTS: &[Function] = &forms("jsonb_path_exists", T::Bool, |_, args| {
    any(&call(None, args)?)
});

pub(super) const EXISTS_TZ: &[Function] =
    &forms_tz("jsonb_path_exists_tz", T::Bool, |env, args| {
        any(&call(Some(env), args)?)
    });

pub(super) const MATCH: &[Function] = &forms("jsonb_path_match", T::Bool, |_, args| {
    only(&call(None, args)?)
});

pub(super) const MATCH_TZ: &[Function] = &forms_tz("jsonb_path_match_tz", T::Bool, |env, args| {
    only(&call(Some(env), args)?)
});

pub(super) const QUERY: &[Function] = &sets(forms("jsonb_path_query", T::Jsonb, |_, args| {
    all(&call(None, args)?)
}));

pub(super) const QUERY_TZ: &[Function] =
    &sets(forms_tz("jsonb_path_query_tz", T::Jsonb, |env, args| {
        all(&call(Some(env), args)?)
    }));

pub(super) const ARRAY: &[Function] = &forms("jsonb_path_query_array", T::Jsonb, |_, args| {
    array(&call(None, args)?)
});

pub(super) const ARRAY_TZ: &[Function] =
    &forms_tz("jsonb_path_query_array_tz", T::Jsonb, |env, args| {
        array(&call(Some(env), args)?)
    });

pub(super) const FIRST: &[Function] = &forms("jsonb_path_query_first", T::Jsonb, |_, args| {
    first(&call(None, args)?)
});

pub(super) const FIRST_TZ: &[Function] =
    &forms_tz("jsonb_path_query_first_tz", T::Jsonb, |env, args| {
        first(&call(Some(env), args)?)
    });

const fn sets(forms: [Function; 3]) -> [Function; 3] {
    let [two, three, four] = forms;
    [two.set(), three.set(), four.set()]
}

/// A function's call; `zoned` where it knows the session's time zone.
fn call<'a>(zoned: Option<&Env<'_>>, args: &[DatumRef<'a>]) -> Result<Call<'a>, SqlError> {
    Ok(Call {
        path: Path::of(text(args[1]))?,
        json: text(args[0]),
        vars: Some(args.get(2).map_or("{}", |vars| text(*vars))),
        silent: args.get(3) == Some(&DatumRef::Bool(true)),
        zone: zoned.map(|env| env.style.zone),
    })
}

/// An operator's: it has no variables, and the path's errors are none.
fn quiet<'a>(args: &[DatumRef<'a>]) -> Result<Call<'a>, SqlError> {
    Ok(Call {
        path: Path::of(text(args[1]))?,
        json: text(args[0]),
        vars: None,
        silent: true,
        zone: None,
    })
}

fn any(call: &Call<'_>) -> Outcome {
    Ok(call.any()?.map_or(Datum::Null, Datum::Bool))
}

/// The truth that the path finds, and nothing else.
fn only(call: &Call<'_>) -> Outcome {
    let found = call.all()?;
    match found.as_slice() {
        [only] if only == "true" => Ok(Datum::Bool(true)),
        [only] if only == "false" => Ok(Datum::Bool(false)),
        [only] if only == "null" => Ok(Datum::Null),
        _ if call.silent => Ok(Datum::Null),
        _ => Err(SqlError::new(
            ErrorKind::SingletonJsonItemRequired,
            "single boolean result is expected",
        )),
    }
}

fn all(call: &Call<'_>) -> Outcome {
    let found = call.all()?.into_iter();
    Ok(Datum::Array(found.map(Datum::Text).collect()))
}

fn array(call: &Call<'_>) -> Outcome {
    string(format!("[{}]", call.all()?.join(", ")))
}

fn first(call: &Call<'_>) -> Outcome {
    let first = call.all()?.into_iter().next();
    Ok(first.map_or(Datum::Null, Datum::Text))
}

//! CREATE and DROP EXTENSION. The extensions that there are come with the server, as if the template of the database had
//! them.

use datafusion::sql::sqlparser::ast::{CreateExtension, DropExtension};

use super::{DdlPlan, fold};
use crate::error::{ErrorKind, SqlError};
use crate::system::EXTENSIONS;

pub(super) fn create(create: &CreateExtension) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("CREATE EXTENSION");
    let name = fold(&create.name);
    if !is_known(&name) {
        let message = format!("extension \"{name}\" is not available");
        return Err(SqlError::new(ErrorKind::FeatureNotSupported, message));
    }
    let message = format!("extension \"{name}\" already exists");
    let error = SqlError::new(ErrorKind::DuplicateObject, message);
    if !create.if_not_exists {
        return Err(error);
    }
    plan.skip(error);
    Ok(plan)
}

pub(super) fn drop(drop: &DropExtension) -> Result<DdlPlan, SqlError> {
    let mut plan = DdlPlan::new("DROP EXTENSION");
    for name in &drop.names {
        let name = fold(name);
        if is_known(&name) {
            let what = format!("DROP EXTENSION of \"{name}\", which comes with the server,");
            return Err(SqlError::unsupported(what));
        }
        let message = format!("extension \"{name}\" does not exist");
        let error = SqlError::new(ErrorKind::UndefinedObject, message);
        if !drop.if_exists {
            return Err(error);
        }
        plan.skip(error);
    }
    Ok(plan)
}

fn is_known(name: &str) -> bool {
    EXTENSIONS.iter().any(|extension| extension.name == name)
}

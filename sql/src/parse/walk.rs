//! Walks over syntax trees.
//!
//! sqlparser's own `visit` is compiled anew for each type of visitor, all thousand functions of it: for forty visitors that
//! was two thirds of this crate's code. These call the visitor through a table and are compiled once.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableFactor, ValueWithSpan, Visit, VisitMut,
    Visitor, VisitorMut,
};

/// What can be walked over to look at it.
pub(crate) trait Walk {
    /// Shows a visitor each part.
    fn walk<B>(&self, visitor: &mut dyn Visitor<Break = B>) -> ControlFlow<B>;

    /// Whether there is such an expression in it.
    fn has_expr(&self, is_one: impl Fn(&Expr) -> bool) -> bool {
        let mut finder = Finder {
            is_expr: is_one,
            is_relation: |_: &ObjectName| false,
        };
        self.walk(&mut finder).is_break()
    }

    /// Whether there is such an expression in it outside of queries.
    fn has_own_expr(&self, is_one: impl Fn(&Expr) -> bool) -> bool {
        self.walk(&mut OwnFinder { is_one, queries: 0 }).is_break()
    }

    /// Whether there is a query in it.
    fn has_query(&self) -> bool {
        self.walk(&mut FindQuery).is_break()
    }

    /// Whether it names such a relation.
    fn has_relation(&self, is_one: impl Fn(&ObjectName) -> bool) -> bool {
        let mut finder = Finder {
            is_expr: |_: &Expr| false,
            is_relation: is_one,
        };
        self.walk(&mut finder).is_break()
    }
}

/// What can be walked over to change it.
pub(crate) trait WalkMut {
    /// Shows a visitor each part.
    fn walk_mut<B>(&mut self, visitor: &mut dyn VisitorMut<Break = B>) -> ControlFlow<B>;
}

#[expect(clippy::disallowed_methods)] // Here it is compiled.
impl<T: Visit> Walk for T {
    fn walk<B>(&self, visitor: &mut dyn Visitor<Break = B>) -> ControlFlow<B> {
        let mut kept = Kept::of(visitor);
        let _ = self.visit(&mut Any(&mut kept));
        kept.outcome()
    }
}

#[expect(clippy::disallowed_methods)] // Here it is compiled.
impl<T: VisitMut> WalkMut for T {
    fn walk_mut<B>(&mut self, visitor: &mut dyn VisitorMut<Break = B>) -> ControlFlow<B> {
        let mut kept = Kept::of(visitor);
        let _ = self.visit(&mut AnyMut(&mut kept));
        kept.outcome()
    }
}

struct FindQuery;

impl Visitor for FindQuery {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

struct Finder<E, R> {
    is_expr: E,
    is_relation: R,
}

struct OwnFinder<E> {
    is_one: E,
    /// How many queries are around.
    queries: usize,
}

impl<E: Fn(&Expr) -> bool> Visitor for OwnFinder<E> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        found(self.queries == 0 && (self.is_one)(expr))
    }
}

fn found(found: bool) -> ControlFlow<()> {
    match found {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

impl<E: Fn(&Expr) -> bool, R: Fn(&ObjectName) -> bool> Visitor for Finder<E, R> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        found((self.is_expr)(expr))
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        found((self.is_relation)(name))
    }
}

/// Any visitor, as sqlparser is told of it.
struct Any<'a>(&'a mut dyn Visitor<Break = ()>);

/// Any visitor that changes what it sees.
struct AnyMut<'a>(&'a mut dyn VisitorMut<Break = ()>);

/// Keeps what a visitor breaks off with, for all visitors to break off alike.
struct Kept<'a, V: ?Sized, B> {
    visitor: &'a mut V,
    broke: Option<B>,
}

impl<'a, V: ?Sized, B> Kept<'a, V, B> {
    fn of(visitor: &'a mut V) -> Kept<'a, V, B> {
        Kept {
            visitor,
            broke: None,
        }
    }

    fn keep(&mut self, flow: ControlFlow<B>) -> ControlFlow<()> {
        flow.map_break(|broke| self.broke = Some(broke))
    }

    fn outcome(self) -> ControlFlow<B> {
        self.broke
            .map_or(ControlFlow::Continue(()), ControlFlow::Break)
    }
}

macro_rules! forward {
    ($visitor:ident, $any:ident, $($reference:tt)+) => {
        impl $visitor for $any<'_> {
            type Break = ();

            forward! { @methods [$($reference)+] any }
        }

        impl<B> $visitor for Kept<'_, dyn $visitor<Break = B> + '_, B> {
            type Break = ();

            forward! { @methods [$($reference)+] kept }
        }
    };
    (@methods $reference:tt $how:ident) => {
        forward! { @method $reference $how pre_visit_query Query }
        forward! { @method $reference $how post_visit_query Query }
        forward! { @method $reference $how pre_visit_select Select }
        forward! { @method $reference $how post_visit_select Select }
        forward! { @method $reference $how pre_visit_relation ObjectName }
        forward! { @method $reference $how post_visit_relation ObjectName }
        forward! { @method $reference $how pre_visit_table_factor TableFactor }
        forward! { @method $reference $how post_visit_table_factor TableFactor }
        forward! { @method $reference $how pre_visit_expr Expr }
        forward! { @method $reference $how post_visit_expr Expr }
        forward! { @method $reference $how pre_visit_statement Statement }
        forward! { @method $reference $how post_visit_statement Statement }
        forward! { @method $reference $how pre_visit_value ValueWithSpan }
        forward! { @method $reference $how post_visit_value ValueWithSpan }
    };
    (@method [$($reference:tt)+] any $method:ident $part:ty) => {
        fn $method(&mut self, part: $($reference)+ $part) -> ControlFlow<()> {
            self.0.$method(part)
        }
    };
    (@method [$($reference:tt)+] kept $method:ident $part:ty) => {
        fn $method(&mut self, part: $($reference)+ $part) -> ControlFlow<()> {
            let flow = self.visitor.$method(part);
            self.keep(flow)
        }
    };
}

forward!(Visitor, Any, &);
forward!(VisitorMut, AnyMut, &mut);

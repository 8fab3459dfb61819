# Sourced by every script: one build environment, so that dependencies are compiled once per machine.
# The target folder lies outside the checkout because librocksdb-sys and DataFusion take half an hour to build.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tidelog
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
export RUSTFLAGS="-C link-arg=-fuse-ld=mold"
export CC="ccache cc" CXX="ccache c++"
# Checkouts in different folders share ccache's entries.
export CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=time_macros
# Real drivers for the compat tests; `scripts/install clients` fills the folder.
export TIDELOG_CLIENTS=${TIDELOG_CLIENTS:-$cache/clients}
# For what users run and what is measured: tests build this crate unoptimised (Cargo.toml).
optimized=(--config profile.dev.package.tidelog-sql.opt-level=1)
tidelog=$CARGO_TARGET_DIR/debug/tidelog

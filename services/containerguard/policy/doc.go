// Package policy reads the guard's policies and matches alerts and containers to them. It
// acts on nothing and does not use Docker.
//
// Policies are TOML, several to a file as [[policy]], or one to a file in the form of the
// Rust Ironpost. Load is strict: it reports every mistake at once with file, line and
// column, and then loads no policy of the folder, as with one missing another would apply
// in its place.
package policy

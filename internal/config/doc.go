// Package config reads a TOML file, the environment and command-line flags into one typed value.
//
// The order is defaults < file < environment < flags. The file is read strictly: every unknown key, wrong type, duplicate and value out of
// range is reported in one pass, each as file:line:column: key: the mistake and what is allowed; a problem of a variable or a
// flag names that instead. Only a syntax error hides the rest, since the text around it cannot be interpreted.
//
// The type given to [Load] is the schema: structs are sections, fields are keys, and the only kinds are string, bool, integers and
// []string; a slice of structs is a list of sections, [[section.name]], which only the file sets. Tags:
//
//	toml:"name"    the key or section; required
//	env:"STORAGE"  on a section: IRONPOST_STORAGE_* instead of the path in capitals
//	secret:"true"  shown redacted, with "whole" not at all; a sibling <name>_file may name a file that holds the value
//
// A type may have these methods, all called by Load: Derive() on the pointer, to fill what depends on other keys; Validate()
// []setting.Problem; Warnings() []setting.Problem.
//
// This is the only package that imports viper, and viper only merges flat layers: its own decoding lower-cases map keys, splits keys at
// dots, converts types silently and knows no positions.
package config

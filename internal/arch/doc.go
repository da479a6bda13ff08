// Package arch has the tests of the project's structure: which package may import which, and that docs/add-a-module.md
// works as written. It has no code of its own; this file lets go build name the package like any other.
package arch

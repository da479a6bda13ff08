// Package docs holds the documents that programs read.
package docs

import _ "embed" // Operations

// Operations is operations.md, whose table of alarms `ironpost status` reads what to do from.
//
//go:embed operations.md
var Operations string

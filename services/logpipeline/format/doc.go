// Package format reads descriptions of log formats in TOML: what a line or JSON object of a program looks like, which fields it has, and which
// log source its events are of. Operators add formats of their own, and those of this project for devices and services beyond an ordinary
// Linux host are described in the same way, in the folder shipped.
//
//	format.go    what a format is, and how it reads a text
//	decode.go    a file into a format, with file:line:column of every mistake
//	pattern.go   regular expressions and grok patterns
//	load.go      the shipped formats and those of a folder
package format

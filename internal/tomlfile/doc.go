// Package tomlfile reads TOML files that operators write, such as policies and log formats, and gives every value its place in the file, so
// that each mistake is told with file:line:column. It reads a whole folder, and reports all mistakes at once.
package tomlfile

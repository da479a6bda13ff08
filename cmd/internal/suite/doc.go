// Package suite puts the modules together: the configuration of all sections and the table of modules, shared by every binary.
package suite

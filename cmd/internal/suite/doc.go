// Package suite composes the daemon from its modules. It owns the configuration file
// (Config, Load), the table of modules (modules.go), and the process: command line,
// bus, status services, metrics server, stream maintenance and log of the start. A
// supervisor of internal/daemon then runs the modules. The CLI shares Config.
package suite

// Package daemon supervises the modules of one program. It takes a table of modules
// and starts them in its order, restarts one that fails while the others go on,
// collects their health, reloads their configuration all or nothing, and stops them in
// the order of the table, producers before consumers. It knows neither what a module
// does nor the bus.
//
// A runner has one state at a time; see state.go for the states and how they follow
// each other. Health shows the state of a module that is not running.
package daemon

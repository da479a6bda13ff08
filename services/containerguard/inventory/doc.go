// Package inventory knows which containers there are, and which of them held an
// address, a process id or a name at a moment of the recent past.
//
// Core is the pure part: it is fed with the engine's events and answers, from a
// live engine or a recording, in whatever order and however often they come, and
// answers lookups. It never guesses: a container is named only if it certainly
// held the key for the whole of the moment asked for and no other container may
// have. Everything else is an error that says why. An address can belong to the
// very next container a second later, so the moment matters.
//
// Inventory feeds a Core from Docker: it subscribes to events, then lists, replays
// what happened in between, and reads the list again now and then. Before it
// names a container it asks the engine about that container once more, so an
// event that is still on its way cannot mislead it.
package inventory

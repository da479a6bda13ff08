// Package inventory knows which containers exist, and which of them had an address, a
// process id or a name at a moment of the last 15 minutes.
//
// Core is the pure part: it takes the events and inspections of Docker, live or recorded,
// in any order and any number of times, and answers lookups. It never guesses: it names
// a container only if that certainly had the address throughout the moment asked for
// and no other container may have had it. Any other answer is an error that says why. The
// moment matters, as Docker may give an address to the next container a second later.
//
// Inventory keeps a Core up to date: it subscribes to Docker's events, lists the
// containers, replays past events, and lists again at every poll interval. Before it names a
// container it inspects it once more, so that an event still on its way cannot mislead it.
package inventory

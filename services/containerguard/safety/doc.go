// Package safety keeps the guard from doing harm: what an alert may be old, which
// containers are never touched, which addresses are never blocked, and how many
// containers may be acted on. It decides and remembers; it does nothing to a container.
package safety

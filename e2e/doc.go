// Package e2e holds scenarios over the whole suite, with the commands as they are
// built and the neighbours as they are shipped.
package e2e

// Package e2e holds tests of the whole suite: the built commands with a real dockerd,
// network namespaces and a stock NATS client. The tests behind the build tag
// accept take minutes each; deploy/dev/accept.sh runs them and prints each measured
// number with its limit.
package e2e

// Package socketproxy forwards a list of requests to Docker's socket and refuses all others: who
// may send Docker any request is root on its machine. A request is allowed by method, path and
// parameters (allow.go); of a body only the fields that the container guard sets are forwarded
// (body.go).
package socketproxy

// Package docker speaks the part of Docker's Engine API that Ironpost needs: it
// reads containers, their events and logs, and pauses, cuts off, kills and
// restores one. It is the only importer of github.com/docker/docker, so that the
// library, which is frozen upstream, can be replaced here.
//
// A Client outlives dockerd: each call opens a session if there is none, agrees
// on an API version with the daemon that is there now, and forgets the session
// when the connection fails. Every call has a time budget, every answer a
// maximum size, and every error a class (see Class) which tells whether trying
// again can help. Containers are named by their full id only: a name can be taken
// by somebody else between two calls, and Docker prefers a name over an id's
// prefix.
//
// Calls lists every HTTP request the package can send; docs/docker-api.md and
// the allow-lists for socket proxies are generated from it.
package docker

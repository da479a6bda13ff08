// Package containerguard matches alerts to policies and isolates containers; here, its configuration.
package containerguard

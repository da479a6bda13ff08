package blocklist

import (
	"context"
	"net/netip"

	"github.com/sirupsen/logrus"
)

// Collapse collapses prefixes of one file.
func Collapse(prefixes []netip.Prefix) []netip.Prefix {
	return plain(collapse(rankedOf(prefixes)))
}

func rankedOf(prefixes []netip.Prefix) []ranked {
	list := make([]ranked, len(prefixes))
	for i, p := range prefixes {
		list[i] = ranked{Prefix: p}
	}
	return list
}

func plain(list []ranked) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, p.Prefix)
	}
	return out
}

// FilesReport is what a look at the files found.
type FilesReport struct {
	Changed, Complete bool
	Prefixes          []netip.Prefix
	Problems          []string
	Bad               int
}

// FollowFiles calls each after every look at the files until ctx ends.
func FollowFiles(ctx context.Context, paths []string, log logrus.FieldLogger, each func(FilesReport)) error {
	return newFiles(paths, log).follow(ctx, func(r report) {
		each(FilesReport{Changed: r.changed, Complete: r.complete, Prefixes: plain(r.list), Problems: r.problems, Bad: r.bad})
	})
}

package blocklist

import (
	"errors"
	"fmt"
	"io/fs"
)

// CheckFile returns why the feed at path cannot be used. One that is missing may come yet, and single lines that are no addresses are
// only counted; a file of nothing else is no feed.
func CheckFile(path string) error {
	feed, _, err := readFeedFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errChanging):
		return nil
	case err != nil:
		return err
	case feed.Bad > 0 && feed.Bad == feed.Lines:
		return fmt.Errorf("none of its %d lines is an address or a network", feed.Lines)
	}
	return nil
}

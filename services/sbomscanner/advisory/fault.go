package advisory

import (
	"errors"
	"runtime"
	"runtime/debug"
)

// errFault says that a page of a mapped file cannot be read.
var errFault = errors.New("a part of it cannot be read any more: it was cut off, or its disk failed")

// catchFault calls fn, which reads mapped pages. A page that cannot be read is errFault; without this the system's signal would end
// the process.
func catchFault(fn func() error) (err error) {
	before := debug.SetPanicOnFault(true) // of this goroutine
	defer func() {
		debug.SetPanicOnFault(before)
		reason := recover()
		if reason == nil {
			return
		}
		if _, isFault := reason.(interface {
			runtime.Error
			Addr() uintptr
		}); !isFault {
			panic(reason)
		}
		err = errFault
	}()
	return fn()
}

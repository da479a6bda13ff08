package bpf

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
)

// ErrUnsupported is returned where this system cannot run the programs: not Linux, or a kernel that lacks a feature.
var ErrUnsupported = errors.New("packet programs need linux 5.15 or newer")

// explain adds to an error of the kernel what the operator can do.
func explain(err error) error {
	var verifier *ebpf.VerifierError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &verifier) && lacksBTF():
		return fmt.Errorf("%w: the kernel has no type information (CONFIG_DEBUG_INFO_BTF): %w", ErrUnsupported, err)
	case errors.As(err, &verifier):
		return fmt.Errorf("the kernel's verifier refuses the program: %w", err)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON: %w", err)
	case errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	default:
		return err
	}
}

// lacksBTF reports a kernel without the type information that the verifier needs for global functions.
func lacksBTF() bool {
	_, err := os.Stat("/sys/kernel/btf/vmlinux")
	return errors.Is(err, os.ErrNotExist)
}

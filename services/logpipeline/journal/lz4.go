package journal

import "errors"

var errLZ4 = errors.New("lz4 data damaged")

// lz4Block appends what the LZ4 block src decompresses to dst, which must be empty, until there are limit bytes (LZ4 Block Format
// Description). It is an error if there are fewer.
func lz4Block(dst, src []byte, limit int) ([]byte, error) {
	for len(dst) < limit {
		if len(src) == 0 {
			return nil, errLZ4
		}
		token := src[0]
		literals, rest, ok := lz4Length(int(token>>4), src[1:])
		if !ok {
			return nil, errLZ4
		}
		take := min(literals, limit-len(dst))
		if take > len(rest) {
			return nil, errLZ4
		}
		dst = append(dst, rest[:take]...)
		if len(dst) == limit {
			break
		}
		src = rest[take:]
		if len(src) < 2 {
			return nil, errLZ4
		}
		back := int(src[0]) | int(src[1])<<8
		if back == 0 || back > len(dst) {
			return nil, errLZ4
		}
		match, rest, ok := lz4Length(int(token&15), src[2:])
		if !ok {
			return nil, errLZ4
		}
		dst = lz4Copy(dst, back, min(match+4, limit-len(dst)))
		src = rest
	}
	return dst, nil
}

// lz4Copy appends n bytes that begin back bytes before the end of dst, which they may reach.
func lz4Copy(dst []byte, back, n int) []byte {
	for n > 0 {
		from := len(dst) - back
		part := min(n, back)
		dst = append(dst, dst[from:from+part]...)
		n -= part
	}
	return dst
}

// lz4Length reads the bytes of a length that its four bits in the token do not hold.
func lz4Length(n int, src []byte) (int, []byte, bool) {
	if n < 15 {
		return n, src, true
	}
	for i, b := range src {
		if n += int(b); b != 255 {
			return n, src[i+1:], true
		}
	}
	return 0, nil, false
}

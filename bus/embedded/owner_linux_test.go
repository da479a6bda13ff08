package embedded

import (
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOwnerOfAConnection(t *testing.T) {
	t.Parallel()
	own := "uid " + strconv.Itoa(os.Getuid())
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() })
		client, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		c, err := l.Accept()
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		require.Equal(t, own, ownerOf(c))

		require.NoError(t, client.Close())
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
		_, err = c.Read(make([]byte, 1))
		require.Error(t, err, "closed by the client")
		require.Equal(t, "address "+addressOf(c).String(), ownerOf(c), "the kernel says root of a socket that nobody has")
	}
}

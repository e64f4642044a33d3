package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var assetFiles embed.FS

// assets are the static files by name. Their addresses carry a digest, so that
// browsers may keep them for ever and a new server shows its new ones.
type assets struct {
	files map[string]asset
}

type asset struct {
	body []byte
	kind string
	hash string
}

func loadAssets() (assets, error) {
	kinds := map[string]string{
		".css": "text/css; charset=utf-8",
		".js":  "text/javascript; charset=utf-8",
		".svg": "image/svg+xml",
	}
	loaded := assets{files: map[string]asset{}}
	err := fs.WalkDir(assetFiles, "assets", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		kind, ok := kinds[path.Ext(name)]
		if !ok {
			return nil // licences and notes
		}
		body, err := assetFiles.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		loaded.files[path.Base(name)] = asset{body: body, kind: kind, hash: hex.EncodeToString(sum[:8])}
		return nil
	})
	return loaded, err
}

// address is where a page finds the file; an unknown name is a mistake in a
// page and stops it from rendering.
func (a assets) address(name string) (string, error) {
	file, ok := a.files[name]
	if !ok {
		return "", fmt.Errorf("no asset %q", name)
	}
	return "/static/" + file.hash + "/" + name, nil
}

func (c *Console) static(w http.ResponseWriter, r *http.Request) {
	file, ok := c.assets.files[r.PathValue("name")]
	if !ok || !strings.EqualFold(file.hash, r.PathValue("hash")) {
		c.nowhere(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", file.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(file.body)
}

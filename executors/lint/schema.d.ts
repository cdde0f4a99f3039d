/* Generated from schema.json by `npm run generate`. */

/**
 * Looks for mistakes with golangci-lint or staticcheck where one is configured, otherwise with `go vet` and gofmt. Writes nothing.
 */
export interface LintOptions {
  /**
   * `auto` takes golangci-lint where the project's folder or one above has a `.golangci.yml` (`.yaml`, `.toml`, `.json`), otherwise staticcheck where one has a `staticcheck.conf`, otherwise `vet`: `go vet` and whether gofmt would change a file.
   */
  linter?: 'auto' | 'golangci-lint' | 'staticcheck' | 'vet';
  /**
   * Configuration of golangci-lint, relative to the workspace root, in place of the nearest one.
   */
  config?: string;
  /**
   * Packages, from the project on, as the go command takes them. An inferred target leaves out those that are other projects'.
   */
  packages?: string[];
  /**
   * Build tags (`-tags`). They replace those of GOFLAGS.
   */
  buildTags?: string[];
  /**
   * More arguments of the linter (of `go vet` with `vet`). None that rewrite: that is what `format` is for.
   */
  args?: string[];
}

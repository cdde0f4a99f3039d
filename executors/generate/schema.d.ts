/* Generated from schema.json by `npm run generate`. */

/**
 * Runs the `//go:generate` lines of the project.
 */
export interface GenerateOptions {
  /**
   * Packages, from the project on, as the go command takes them. An inferred target leaves out those that are other projects'.
   */
  packages?: string[];
  /**
   * Build tags (`-tags`). They replace those of GOFLAGS.
   */
  buildTags?: string[];
  /**
   * More arguments of `go generate`.
   */
  args?: string[];
}

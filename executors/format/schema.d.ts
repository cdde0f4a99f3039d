/* Generated from schema.json by `npm run generate`. */

/**
 * Formats the project's Go files, those too that build constraints exclude here.
 */
export interface FormatOptions {
  /**
   * Write nothing; show a diff and fail where a file is not formatted.
   */
  check?: boolean;
  /**
   * `gofmt` comes with Go. The others have to be a tool of go.mod or on PATH.
   */
  formatter?: 'gofmt' | 'goimports' | 'gofumpt';
  /**
   * Packages, from the project on, as the go command takes them. An inferred target leaves out those that are other projects'.
   */
  packages?: string[];
}

/* Generated from schema.json by `npm run generate`. */

/**
 * Brings go.mod and go.sum up to date with `go mod tidy`.
 */
export interface TidyOptions {
  /**
   * Write nothing; show what would change and fail where something would.
   */
  check?: boolean;
}

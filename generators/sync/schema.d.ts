/* Generated from schema.json by `npm run generate`. */

/**
 * Keeps the use list of go.work true to the Go modules of the workspace, and nothing else in that file.
 */
export interface SyncOptions {}

/* Generated from schema.json by `npm run generate`. */

/**
 * Looks for known vulnerabilities that the project's code can reach, with govulncheck.
 */
export interface VulnOptions {
  /**
   * The vulnerability database: a URL (`https://`, `file://`), or a folder relative to the workspace root. By default what GOVULNDB says, otherwise `https://vuln.go.dev`.
   */
  db?: string;
  /**
   * The govulncheck to compile where go.mod has no `tool` line for one and PATH none.
   */
  version?: string;
  /**
   * What counts: a vulnerable function that is called, a package that is imported, or a module that is required.
   */
  scan?: 'symbol' | 'package' | 'module';
  /**
   * Look at the tests too.
   */
  tests?: boolean;
  /**
   * Packages, from the project on, as the go command takes them. An inferred target leaves out those that are other projects'.
   */
  packages?: string[];
  /**
   * Build tags (`-tags`). They replace those of GOFLAGS.
   */
  buildTags?: string[];
  /**
   * More arguments of govulncheck.
   */
  args?: string[];
}

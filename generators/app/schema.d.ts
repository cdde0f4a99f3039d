/* Generated from schema.json by `npm run generate`. */

/**
 * Creates a Go program with a test and a Dockerfile. Existing files are never overwritten.
 */
export interface AppOptions {
  /**
   * Folder of the new program, relative to the current folder.
   */
  directory: string;
  /**
   * Name of the Nx project. By default the folder's.
   */
  name?: string;
  /**
   * `cli` prints a line. `http` is a server with graceful shutdown, structured logs and a health check.
   */
  template?: 'cli' | 'http';
  /**
   * What the image starts from: `scratch` (nothing: smallest, safest) or `alpine` (a shell, root certificates and a package manager).
   */
  base?: 'scratch' | 'alpine';
  /**
   * `prebuilt` copies the binary that the target build made. `multistage` compiles inside the container engine, with nothing but Docker installed.
   */
  dockerfile?: 'prebuilt' | 'multistage';
  /**
   * Module path: of the root go.mod if this run creates it, otherwise of a module that the program gets for itself. By default the program belongs to the module around it.
   */
  module?: string;
  /**
   * Port of the http template, unless the environment variable PORT says otherwise.
   */
  port?: number;
  /**
   * Put Mozilla's root certificates into the binary (golang.org/x/crypto/x509roots/fallback), for TLS to the outside from a scratch image.
   */
  certs?: boolean;
  /**
   * Put the time zone database into the binary (time/tzdata, 0.4 MB), for time.LoadLocation in a scratch image.
   */
  tzdata?: boolean;
  /**
   * Tags of the Nx project, separated by commas.
   */
  tags?: string;
  /**
   * Do not format the changed files with Prettier.
   */
  skipFormat?: boolean;
}

/* Generated from schema.json by `npm run generate`. */

/**
 * Writes a Dockerfile and a .dockerignore for a Go program that exists. Existing files are never overwritten.
 */
export interface DockerOptions {
  /**
   * Folder of the main package, relative to the current folder.
   */
  directory: string;
  /**
   * What the image starts from: `scratch` (nothing: smallest, safest) or `alpine` (a shell, root certificates and a package manager).
   */
  base?: 'scratch' | 'alpine';
  /**
   * Port to EXPOSE. Default: the one that the main package's code listens on, where it is written there as a constant.
   */
  port?: number;
  /**
   * Do not format the changed files with Prettier.
   */
  skipFormat?: boolean;
}

/* Generated from schema.json by `npm run generate`. */

/**
 * Sends the image that the `image` target built to a registry, without a container engine and without building anything: only what the registry lacks, and the tags last. Never cached: it asks the registry.
 */
export interface DockerPushOptions {
  /**
   * Registry and repository to push to. Default: those of the image's own references, which then must name a registry.
   */
  repository?: string;
  /**
   * Tags to set beside those that the `image` target gave. `{sha}`, `{shortSha}` and `{branch}` stand for the commit and the branch, `{env.NAME}` for a variable of the environment.
   */
  tags?: string[];
  /**
   * Say what would be pushed, and ask no registry.
   */
  dryRun?: boolean;
  /**
   * Speak HTTP without TLS to this registry. For localhost that is the default.
   */
  plainHttp?: boolean;
}

/** Where and from what an image was built, as far as the one who pushes it knows. */
export interface Origin {
  /** `ghcr.io/acme/hello` */
  readonly name: string;
  /** Of the manifest or index, `sha256:<hex>`. */
  readonly digest: string;
  readonly project: string;
  readonly target: string;
  readonly platforms: readonly string[];
  /** The git remote as a web address, and the commit; undefined without git. */
  readonly source: string | undefined;
  readonly commit: string | undefined;
  /** Whether files differed from the commit. */
  readonly isModified: boolean;
  /** Base images by reference: what image.lock.json pins. */
  readonly bases: Readonly<Record<string, string>>;
  readonly env: NodeJS.ProcessEnv;
}

const buildType = 'https://www.npmjs.com/package/slim-go#image-v1';

/**
 * SLSA provenance v1 in an in-toto statement. It is as trustworthy as the one who pushes: nothing signs it.
 * https://slsa.dev/spec/v1.0/provenance https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
 */
export function provenance(origin: Origin): Buffer {
  const { source, commit } = origin;
  const statement = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name: origin.name, digest: digestSet(origin.digest) }],
    predicateType: 'https://slsa.dev/provenance/v1',
    predicate: {
      buildDefinition: {
        buildType,
        externalParameters: { project: origin.project, target: origin.target, platforms: origin.platforms },
        internalParameters: { workingTreeModified: origin.isModified },
        resolvedDependencies: [
          ...(source === undefined && commit === undefined
            ? []
            : [
                {
                  ...(source === undefined ? { name: 'source' } : { uri: `git+${source}` }),
                  ...(commit === undefined ? {} : { digest: { gitCommit: commit } }),
                },
              ]),
          ...Object.entries(origin.bases).map(([reference, digest]) => ({
            name: reference,
            uri: `oci://${reference}`,
            digest: digestSet(digest),
          })),
        ],
      },
      runDetails: { builder: { id: builderOf(origin.env) }, metadata: invocationOf(origin.env) },
    },
  };
  return Buffer.from(`${JSON.stringify(statement, null, 2)}\n`);
}

function digestSet(digest: string): Readonly<Record<string, string>> {
  const [algorithm = '', hex = ''] = digest.split(':');
  return { [algorithm]: hex };
}

/** Who ran the build, in the words of the CI system. */
function builderOf(env: NodeJS.ProcessEnv): string {
  if (env.GITHUB_ACTIONS && env.GITHUB_WORKFLOW_REF) return `${env.GITHUB_SERVER_URL}/${env.GITHUB_WORKFLOW_REF}`;
  if (env.GITLAB_CI && env.CI_RUNNER_ID) return `${env.CI_SERVER_URL}/runners/${env.CI_RUNNER_ID}`;
  return 'https://www.npmjs.com/package/slim-go#local';
}

function invocationOf(env: NodeJS.ProcessEnv): { readonly invocationId?: string } {
  if (env.GITHUB_ACTIONS && env.GITHUB_RUN_ID) {
    const attempt = env.GITHUB_RUN_ATTEMPT ?? '1';
    return {
      invocationId: `${env.GITHUB_SERVER_URL}/${env.GITHUB_REPOSITORY}/actions/runs/${env.GITHUB_RUN_ID}/attempts/${attempt}`,
    };
  }
  return env.GITLAB_CI && env.CI_JOB_URL ? { invocationId: env.CI_JOB_URL } : {};
}

/** An npm registry on this machine that has the packed slim-go, and sends whoever asks for anything else to the real one. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export class NpmRegistry {
  private constructor(private readonly server: Server) {}

  static async start(tarball: string): Promise<NpmRegistry> {
    const upstream = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim().replace(/\/$/, '');
    const bytes = readFileSync(tarball);
    const manifest = JSON.parse(execFileSync('tar', ['-xzOf', tarball, 'package/package.json'], { encoding: 'utf8' }));
    const server = createServer((request, response) => {
      if (request.url === '/slim-go') {
        const dist = {
          tarball: `${registry.url}/slim-go/-/slim-go.tgz`,
          integrity: `sha512-${createHash('sha512').update(bytes).digest('base64')}`,
        };
        response.setHeader('content-type', 'application/json');
        response.end(
          JSON.stringify({
            name: 'slim-go',
            'dist-tags': { latest: manifest.version },
            versions: { [manifest.version]: { ...manifest, dist } },
          }),
        );
      } else if (request.url === '/slim-go/-/slim-go.tgz') response.end(bytes);
      else response.writeHead(307, { location: upstream + request.url }).end();
    });
    const registry = new NpmRegistry(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return registry;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}

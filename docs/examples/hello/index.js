// The example app: five answers that show paths, query parameters and bodies coming through.
// It understands both payload formats: 2.0 (rawPath, requestContext.http) and 1.0 (path, httpMethod).
'use strict';

const text = (statusCode, body) => ({
  statusCode,
  headers: { 'content-type': 'text/plain; charset=utf-8' },
  body,
});

exports.handler = async (event) => {
  const http = event.requestContext && event.requestContext.http;
  const method = event.httpMethod || (http && http.method) || 'GET';
  const path = event.path || event.rawPath || '/';
  const query = event.queryStringParameters || {};

  if (method === 'GET' && path === '/') {
    return text(200, 'success');
  }
  if (method === 'GET' && path === '/notFound') {
    return text(400, 'bad request text');
  }
  if (method === 'GET' && path === '/testProxyingWithQueryParams') {
    return text(200, query.text || '');
  }
  if (method === 'POST' && path === '/testProxyingWithBody') {
    return text(200, readText(event));
  }
  return text(404, 'Not Found');
};

function readText(event) {
  const body = event.isBase64Encoded ? Buffer.from(event.body || '', 'base64').toString('utf8') : event.body;
  return String(JSON.parse(body || '{}').text);
}
